//! Hashes and checks passwords, a bounded number at once.

use crate::failure::Failure;
use crate::settings::Settings;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, PasswordHash, Version};
use domain::password::PasswordRule;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The password behind the hash that stands in for a missing one.
const NOBODY: &[u8] = b"nobody has this password";

/// Hashes and checks passwords with argon2id.
#[derive(Clone)]
pub struct PasswordHasher {
    /// The allowed lengths.
    pub rule: PasswordRule,
    params: Params,
    turns: Arc<Semaphore>,
    /// The hash that an unknown user's password is checked against, so that it takes as long as a known user's.
    dummy_hash: Arc<str>,
}

impl PasswordHasher {
    /// A hasher as the settings say.
    ///
    /// # Errors
    /// Argon2 rejects the parameters.
    pub fn new(settings: &Settings) -> Result<PasswordHasher, String> {
        let kibibytes = u32::try_from(settings.argon2_memory / 1024).unwrap_or(u32::MAX);
        let (passes, lanes) = (settings.argon2_passes, settings.argon2_lanes);
        let params = Params::new(kibibytes, passes, lanes, None).map_err(|error| error.to_string())?;
        let turns = Arc::new(Semaphore::new(settings.passwords_at_once as usize));
        let rule = PasswordRule { min: settings.password_min, max: settings.password_max };
        let dummy_hash = hash_now(&params, NOBODY, &[0; 16])?.into();
        Ok(PasswordHasher { rule, params, turns, dummy_hash })
    }

    /// Hashes a password with a random salt.
    ///
    /// # Errors
    /// Hashing failed.
    pub async fn hash(&self, password: &str, salt: [u8; 16]) -> Result<String, Failure> {
        let (params, password) = (self.params.clone(), password.to_owned());
        let hashed = self.run_limited(move || hash_now(&params, password.as_bytes(), &salt)).await?;
        hashed.map_err(Failure::internal)
    }

    /// Whether a password matches a hash. Without a hash it takes as long and returns `false`.
    ///
    /// # Errors
    /// The hashing task failed.
    pub async fn check(&self, password: &str, hash: Option<&str>) -> Result<bool, Failure> {
        let known = hash.is_some();
        let hash = hash.unwrap_or(&self.dummy_hash).to_owned();
        // A password that no user can have is not hashed at full length.
        let password = if self.rule.is_possible(password) { password.to_owned() } else { String::new() };
        let matches = self.run_limited(move || check_now(&password, &hash)).await?;
        Ok(known && matches)
    }

    /// Whether a hash was made with other parameters than the current ones.
    pub fn is_outdated(&self, hash: &str) -> bool {
        let (memory, passes, lanes) = (self.params.m_cost(), self.params.t_cost(), self.params.p_cost());
        !hash.starts_with(&format!("$argon2id$v=19$m={memory},t={passes},p={lanes}$"))
    }

    async fn run_limited<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let turn = self.turns.clone().acquire_owned().await.map_err(Failure::internal)?;
        let hashed = tokio::task::spawn_blocking(move || {
            let result = work();
            // Released only now: a caller that stops waiting frees no capacity.
            drop(turn);
            result
        });
        hashed.await.map_err(Failure::internal)
    }
}

fn hash_now(params: &Params, password: &[u8], salt: &[u8]) -> Result<String, String> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    let hash: PasswordHash =
        argon2.hash_password_with_salt(password, salt).map_err(|error| error.to_string())?;
    Ok(hash.to_string())
}

fn check_now(password: &str, hash: &str) -> bool {
    // The parameters are in the hash. No password is empty, so one that was too long never matches.
    let Ok(hash) = PasswordHash::new(hash) else { return false };
    !password.is_empty() && Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passwords(memory: u64) -> PasswordHasher {
        PasswordHasher::new(&Settings { argon2_memory: memory, argon2_passes: 1, ..Settings::default() })
            .unwrap()
    }

    #[tokio::test]
    async fn a_password_is_checked_against_its_own_parameters() {
        let (cheap, dear) = (passwords(64 << 10), passwords(128 << 10));
        let hash = cheap.hash("correct horse", [1; 16]).await.unwrap();
        assert!(hash.starts_with("$argon2id$") && !hash.contains("correct"));
        for passwords in [&cheap, &dear] {
            assert!(passwords.check("correct horse", Some(&hash)).await.unwrap());
            for wrong in
                ["correct hors", "Correct horse", "correct horse ", "correct horse\0", "", &"x".repeat(300)]
            {
                assert!(!passwords.check(wrong, Some(&hash)).await.unwrap(), "{wrong}");
            }
        }
        assert!(!cheap.is_outdated(&hash) && dear.is_outdated(&hash));
        assert_ne!(hash, cheap.hash("correct horse", [2; 16]).await.unwrap());
    }

    #[tokio::test]
    async fn with_passwords_off_nobody_has_one() {
        let cheap = passwords(64 << 10);
        assert!(!cheap.check(std::str::from_utf8(NOBODY).unwrap(), None).await.unwrap());
        assert!(!cheap.check("x", Some("no hash")).await.unwrap());
    }
}
