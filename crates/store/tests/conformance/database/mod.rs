//! What both databases promise.

mod damage;
mod durability;
mod heavy;
mod lanes;
pub mod opening;
mod seam;
pub mod upgrade;
