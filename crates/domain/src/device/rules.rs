//! The commands to a device session, and the rules for them.

use super::{DeviceFilters, DeviceSession, HeldDevice, Hold};
use crate::ids::{HoldId, PrincipalId};
use crate::refusal::{Refusal, Thing};
use crate::session::{EndReason, Ending, FeedChange};
use crate::time::Micros;

/// Maximum number of open holds of a session: more is a runaway loop.
pub const MAX_OPEN_HOLDS: u32 = 200;

/// Maximum number of holds of a session, also ended ones: all of them are loaded with it.
pub const MAX_HOLDS: u32 = 1_000;

/// Who sends a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Actor {
    /// A member of the organization.
    Member {
        /// The member.
        principal: PrincipalId,
        /// Whether the member has `ManageSessions`.
        manages: bool,
    },
    /// Tenure itself: sweeps, the queue, lost hosts.
    Tenure,
}

impl Actor {
    /// The member; `None` for Tenure.
    pub fn principal(self) -> Option<PrincipalId> {
        match self {
            Actor::Member { principal, .. } => Some(principal),
            Actor::Tenure => None,
        }
    }

    /// Checks that it may act on something that `owner` owns.
    ///
    /// # Errors
    /// [`Refusal::NotYours`] for a member who is neither the owner nor has `ManageSessions`.
    pub fn may_act_on(self, owner: PrincipalId, thing: Thing) -> Result<(), Refusal> {
        match self {
            Actor::Member { principal, manages: false } if principal != owner => {
                Err(Refusal::NotYours(thing))
            }
            _ => Ok(()),
        }
    }
}

/// A command to a device session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceCommand {
    /// Request a device.
    Request {
        /// The id of the new hold.
        hold: HoldId,
        /// The filters for the device.
        filters: DeviceFilters,
    },
    /// Grant a device to a request. The session knows only whether the request still waits; whether the device is free
    /// is checked in the device's row.
    Grant {
        /// The request's hold.
        hold: HoldId,
        /// The device.
        held: HeldDevice,
    },
    /// End a hold or cancel a request.
    Release {
        /// The hold.
        hold: HoldId,
        /// The reason.
        reason: EndReason,
        /// The facts behind the reason.
        evidence: String,
    },
    /// End the session and all of its holds.
    End {
        /// The reason.
        reason: EndReason,
        /// The facts behind the reason.
        evidence: String,
    },
}

/// A change of a device session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceChange {
    /// A device was requested.
    Requested {
        /// The new hold.
        hold: Hold,
        /// The requested device.
        filters: DeviceFilters,
    },
    /// A device was granted.
    Granted {
        /// The request's hold.
        hold: HoldId,
        /// The device.
        held: HeldDevice,
    },
    /// A hold or a request ended.
    Released {
        /// The hold.
        hold: HoldId,
        /// Why it ended.
        ending: Ending,
    },
    /// The session ended.
    Ended(Ending),
}

impl DeviceChange {
    /// The kind of this change in the change feed.
    pub fn feed_change(&self) -> FeedChange {
        match self {
            DeviceChange::Requested { .. } => FeedChange::Requested,
            DeviceChange::Granted { .. } => FeedChange::Granted,
            DeviceChange::Released { .. } => FeedChange::Released,
            DeviceChange::Ended(_) => FeedChange::Ended,
        }
    }
}

/// Decides which changes a command causes. Ending something again causes none, so that clients can retry.
///
/// # Errors
/// [`Refusal::NotYours`], [`Refusal::SessionEnded`], [`Refusal::SessionFull`], and [`Refusal::NotFound`] for an
/// unknown hold.
pub fn decide(
    session: &DeviceSession,
    actor: Actor,
    command: DeviceCommand,
    now: Micros,
) -> Result<Vec<DeviceChange>, Refusal> {
    match command {
        DeviceCommand::Request { hold, filters } => request(session, actor, hold, filters, now),
        DeviceCommand::Grant { hold, held } => {
            let waiting = session.open_holds().any(|open| open.id == hold && open.held.is_none());
            Ok(if waiting { vec![DeviceChange::Granted { hold, held }] } else { vec![] })
        }
        DeviceCommand::Release { hold, reason, evidence } => release(session, actor, hold, reason, evidence),
        DeviceCommand::End { reason, evidence } => end(session, actor, reason, evidence),
    }
}

fn request(
    session: &DeviceSession,
    actor: Actor,
    hold: HoldId,
    filters: DeviceFilters,
    now: Micros,
) -> Result<Vec<DeviceChange>, Refusal> {
    actor.may_act_on(session.owner, Thing::Session)?;
    if session.ended.is_some() {
        return Err(Refusal::SessionEnded);
    }
    if session.open_holds().count() >= MAX_OPEN_HOLDS as usize {
        return Err(Refusal::SessionFull { max: MAX_OPEN_HOLDS });
    }
    if session.holds.len() >= MAX_HOLDS as usize {
        return Err(Refusal::SessionFull { max: MAX_HOLDS });
    }
    let principal = actor.principal().unwrap_or(session.owner);
    let hold = Hold {
        id: hold,
        principal,
        platform: filters.platform().to_owned(),
        requested: now,
        held: None,
        granted: None,
        activity: now,
        ended: None,
    };
    Ok(vec![DeviceChange::Requested { hold, filters }])
}

fn release(
    session: &DeviceSession,
    actor: Actor,
    hold: HoldId,
    reason: EndReason,
    evidence: String,
) -> Result<Vec<DeviceChange>, Refusal> {
    let found =
        session.holds.iter().find(|known| known.id == hold).ok_or(Refusal::NotFound(Thing::Device))?;
    actor.may_act_on(found.principal, Thing::Device)?;
    if found.ended.is_some() {
        return Ok(vec![]);
    }
    let ending = Ending { reason, actor: actor.principal(), evidence };
    Ok(vec![DeviceChange::Released { hold, ending }])
}

fn end(
    session: &DeviceSession,
    actor: Actor,
    reason: EndReason,
    evidence: String,
) -> Result<Vec<DeviceChange>, Refusal> {
    actor.may_act_on(session.owner, Thing::Session)?;
    if session.ended.is_some() {
        return Ok(vec![]);
    }
    let ending = |reason| Ending { reason, actor: actor.principal(), evidence: evidence.clone() };
    let released = session
        .open_holds()
        .map(|hold| DeviceChange::Released { hold: hold.id, ending: ending(EndReason::SessionEnded) });
    Ok(released.chain([DeviceChange::Ended(ending(reason))]).collect())
}

impl DeviceSession {
    /// The session after a batch of changes at `now`. A batch increments the revision by one.
    pub fn with_changes(mut self, changes: &[DeviceChange], now: Micros) -> DeviceSession {
        for change in changes {
            self.apply(change, now);
        }
        self.revision += 1;
        self.activity = now;
        let busy = self.open_holds().next().is_some();
        self.released = match (busy, self.holds.is_empty()) {
            (true, _) | (_, true) => None,
            _ => self.released.or(Some(now)),
        };
        self
    }

    fn apply(&mut self, change: &DeviceChange, now: Micros) {
        let known = |holds: &mut Vec<Hold>, id: HoldId, change: &dyn Fn(&mut Hold)| {
            holds.iter_mut().filter(|hold| hold.id == id).for_each(change);
        };
        match change {
            DeviceChange::Requested { hold, .. } => self.holds.push(hold.clone()),
            DeviceChange::Granted { hold, held } => known(&mut self.holds, *hold, &|hold| {
                hold.held = Some(held.clone());
                hold.granted = Some(now);
                hold.activity = now;
            }),
            DeviceChange::Released { hold, ending } => known(&mut self.holds, *hold, &|hold| {
                hold.ended = Some((now, ending.clone()));
            }),
            DeviceChange::Ended(ending) => self.ended = Some((now, ending.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DeviceFilter, DeviceProfile, HoldState};
    use super::*;
    use crate::ids::{DeviceId, OrganizationId, SessionId};
    use proptest::prelude::*;
    use uuid::Uuid;

    const OWNER: PrincipalId = PrincipalId(Uuid::from_u128(1));
    const OTHER: PrincipalId = PrincipalId(Uuid::from_u128(2));

    fn session() -> DeviceSession {
        DeviceSession::new(OrganizationId(Uuid::from_u128(9)), SessionId::new(Micros(5), 1), OWNER)
    }

    fn wanted() -> DeviceFilters {
        let ios =
            DeviceFilter { attribute: "platform".into(), operator: "EQUALS".into(), value: "ios".into() };
        DeviceFilters::new(vec![ios]).unwrap()
    }

    fn hold(n: u128) -> HoldId {
        HoldId(Uuid::from_u128(n))
    }

    fn held() -> HeldDevice {
        let offer = DeviceProfile {
            platform: "ios".into(),
            kind: "real".into(),
            name: "iPhone".into(),
            version: "18".into(),
        };
        HeldDevice {
            device: DeviceId(Uuid::nil()),
            fence: 1,
            handle: "X".into(),
            profile: offer,
            model: String::new(),
        }
    }

    fn commands() -> [DeviceCommand; 4] {
        [
            DeviceCommand::Request { hold: hold(7), filters: wanted() },
            DeviceCommand::Grant { hold: hold(1), held: held() },
            DeviceCommand::Release { hold: hold(1), reason: EndReason::Released, evidence: String::new() },
            DeviceCommand::End { reason: EndReason::Released, evidence: String::new() },
        ]
    }

    fn member(principal: PrincipalId, manages: bool) -> Actor {
        Actor::Member { principal, manages }
    }

    /// Runs a command and returns the session after it.
    fn run(session: DeviceSession, actor: Actor, command: DeviceCommand, now: i64) -> DeviceSession {
        let changes = decide(&session, actor, command, Micros(now)).unwrap();
        session.with_changes(&changes, Micros(now))
    }

    #[test]
    fn a_session_requests_a_bounded_number_of_devices() {
        let mut session = session();
        let actor = member(OWNER, false);
        for n in 0..MAX_HOLDS {
            let ask = DeviceCommand::Request { hold: hold(n.into()), filters: wanted() };
            session = run(session, actor, ask, 7);
            let (reason, evidence) = (EndReason::Released, String::new());
            session =
                run(session, actor, DeviceCommand::Release { hold: hold(n.into()), reason, evidence }, 7);
        }
        let ask = DeviceCommand::Request { hold: hold(u128::MAX), filters: wanted() };
        assert_eq!(decide(&session, actor, ask, Micros(7)), Err(Refusal::SessionFull { max: MAX_HOLDS }));
    }

    #[test]
    fn only_the_owner_and_admins_act() {
        let owner = member(OWNER, false);
        let [request, ..] = commands();
        let with_hold = run(session(), owner, DeviceCommand::Request { hold: hold(1), filters: wanted() }, 6);
        for (actor, allowed) in
            [(owner, true), (member(OTHER, false), false), (member(OTHER, true), true), (Actor::Tenure, true)]
        {
            let [_, _, release, end] = commands();
            for command in [request.clone(), release, end] {
                assert_eq!(decide(&with_hold, actor, command, Micros(7)).is_ok(), allowed, "{actor:?}");
            }
        }
    }

    #[test]
    fn released_is_the_end_of_the_last_hold() {
        let owner = member(OWNER, false);
        let [_, grant, release, _] = commands();
        let asked = run(session(), owner, DeviceCommand::Request { hold: hold(1), filters: wanted() }, 10);
        assert_eq!((asked.released, asked.holds[0].state()), (None, HoldState::Pending));
        let got = run(asked, Actor::Tenure, grant, 11);
        assert_eq!((got.released, got.holds[0].state()), (None, HoldState::InUse));
        let over = run(got, owner, release, 12);
        assert_eq!((over.released, over.holds[0].state()), (Some(Micros(12)), HoldState::Released));
        let again = run(over, owner, DeviceCommand::Request { hold: hold(2), filters: wanted() }, 13);
        assert_eq!((again.released, again.revision), (None, 5));
    }

    #[test]
    fn an_ended_session_refuses_requests_and_ends_once() {
        let [request, grant, release, end] = commands();
        let owner = member(OWNER, false);
        let asked = run(session(), owner, DeviceCommand::Request { hold: hold(1), filters: wanted() }, 6);
        let over = run(asked, owner, end.clone(), 7);
        assert_eq!(over.holds[0].ended.as_ref().map(|(_, e)| e.reason), Some(EndReason::SessionEnded));
        assert_eq!(decide(&over, owner, request, Micros(8)), Err(Refusal::SessionEnded));
        for command in [grant, release, end] {
            assert_eq!(decide(&over, owner, command, Micros(8)), Ok(vec![]));
        }
    }

    proptest! {
        /// For every order of commands: a released hold stays released, an ended session stays ended and has no open
        /// holds, and `released` is set exactly when the session has holds and none is open.
        #[test]
        fn any_order_of_commands_keeps_a_session_consistent(steps in proptest::collection::vec((0usize..4, 1u128..4), 0..40)) {
            let mut state = session();
            for (now, (which, n)) in (10i64..).zip(steps) {
                let command = match which {
                    0 => DeviceCommand::Request { hold: hold(n + 10 * now as u128), filters: wanted() },
                    1 => DeviceCommand::Grant { hold: state.open_holds().next().map_or(hold(n), |h| h.id), held: held() },
                    2 => DeviceCommand::Release { hold: state.open_holds().last().map_or(hold(n), |h| h.id),
                                            reason: EndReason::Idle, evidence: String::new() },
                    _ if n == 1 => DeviceCommand::End { reason: EndReason::Idle, evidence: String::new() },
                    _ => continue,
                };
                let Ok(changes) = decide(&state, Actor::Tenure, command, Micros(now)) else { continue };
                if changes.is_empty() { continue }
                let before = state.clone();
                state = state.with_changes(&changes, Micros(now));
                for old in &before.holds {
                    let new = state.holds.iter().find(|h| h.id == old.id).unwrap();
                    prop_assert!(old.ended.is_none() || old == new);
                }
                prop_assert!(before.ended.is_none() || before.ended == state.ended);
                prop_assert!(state.ended.is_none() || state.open_holds().next().is_none());
                let over = !state.holds.is_empty() && state.open_holds().next().is_none();
                prop_assert_eq!(state.released.is_some(), over);
            }
        }
    }
}
