//! Pages of lists.

use crate::ids::SessionId;
use crate::session::OrderPosition;
use crate::time::Micros;

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// Whether older items follow.
    pub more: bool,
}

/// The range of a list of sessions that is requested. The list is ordered newest first, and by id for sessions of two
/// organizations that were created at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListRange {
    /// A range by position.
    Offset {
        /// Number of sessions to skip.
        offset: u64,
        /// Maximum number of sessions; 0 asks for the total only.
        limit: u32,
    },
    /// The sessions that follow a session in the list.
    Before {
        /// That session: its time of creation and its id; `None` for the beginning of the list.
        position: Option<(Micros, SessionId)>,
        /// Maximum number of sessions.
        limit: u32,
    },
    /// The nearest sessions before a session in the list: newer ones. They are in the order of the list, too.
    After {
        /// That session: its time of creation and its id.
        position: (Micros, SessionId),
        /// Maximum number of sessions.
        limit: u32,
    },
}

/// Whether a page is the next one or the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageDirection {
    /// What follows in the list.
    Forward,
    /// What comes before in the list.
    Backward,
}

/// The range of a list of sessions in any order that is requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderedRange {
    /// A session in the list, which the range follows or precedes; `None` for the beginning or the end of the list. The
    /// session itself may have changed or gone.
    pub anchor: Option<OrderPosition>,
    /// Whether the range follows the anchor or precedes it.
    pub direction: PageDirection,
    /// Maximum number of sessions.
    pub limit: u32,
    /// When lengths of time are measured. Those of open sessions grow, so all pages of a list measure at the time of the
    /// first page. Otherwise, sessions would pass the anchor and be left out.
    pub measured: Micros,
}

/// A range of a list, with the length of the whole list at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListSlice<T> {
    /// The items, in the order of the list.
    pub items: Vec<T>,
    /// Number of items in the whole list.
    pub total: u64,
    /// Whether more items follow in the direction of the range.
    pub more: bool,
}
