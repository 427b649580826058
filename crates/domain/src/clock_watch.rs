//! Decides whether the wall clock can be trusted, before anything is deleted because it is old.
//!
//! A clock that is ahead makes everything look old. So the wall clock is compared with a steady clock, which nobody can
//! set; with the last time that was trusted before a restart; and with the database's clock. While it is ahead of one of
//! them, nothing may be deleted or ended. A clock that is behind deletes nothing early.

use crate::time::{Micros, Span};

/// Clocks that differ by at most this much agree.
pub const AGREES: Span = Span::minutes(1);
/// The clock may be wrong if the server starts this long after the last trusted time.
pub const LONG_STOP: Span = Span::minutes(60);
/// After a long stop, the clock is trusted when it has run evenly for this long: NTP has time to set it.
pub const SETTLES: Span = Span::minutes(15);
/// After a jump, the clock is trusted when it has run evenly for this long, or when an operator accepts it.
pub const SETTLES_AFTER_JUMP: Span = Span::minutes(24 * 60);

/// A row with a time this far ahead of the clock was written with a wrong clock.
pub const WRONG: Span = Span::minutes(24 * 60);

/// The result of comparing the clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockVerdict {
    /// The wall clock can be trusted. Also when it was set back.
    Sound,
    /// The wall clock jumped ahead of the steady clock by this much.
    Jumped(Span),
    /// The server started this long after the last trusted time, and has not run long enough yet.
    Started(Span),
    /// The wall clock is ahead of the database's clock by this much.
    AheadOfDatabase(Span),
}

/// Compares the clocks of a running server.
#[derive(Debug, Clone)]
pub struct ClockWatch {
    /// The wall clock and the steady clock when the wall clock was last trusted.
    believed: (Micros, Span),
    /// Why the wall clock is not trusted now.
    doubt: Option<Doubt>,
}

#[derive(Debug, Clone, Copy)]
struct Doubt {
    /// How far the wall clock is off, in microseconds; negative when it is behind.
    off: i64,
    /// The steady clock when the wall clock went off.
    since: Span,
    /// How long it must stay off by the same amount to be trusted.
    settles: Span,
    started: bool,
}

impl ClockWatch {
    /// Starts at the start of a server. `known` is the last time that an earlier server trusted.
    pub fn new(wall: Micros, steady: Span, known: Option<Micros>) -> ClockWatch {
        let gone = known.map_or(Span(0), |known| wall.duration_since(known));
        if gone <= LONG_STOP {
            return ClockWatch { believed: (wall, steady), doubt: None };
        }
        let believed = (Micros(wall.0 - gone.0), steady);
        let doubt = Doubt { off: gone.0, since: steady, settles: SETTLES, started: true };
        ClockWatch { believed, doubt: Some(doubt) }
    }

    /// Compares the clocks.
    pub fn compare(&mut self, wall: Micros, steady: Span, database: Option<Micros>) -> ClockVerdict {
        let ahead = database.map(|database| wall.duration_since(database)).filter(|ahead| *ahead > AGREES);
        if let Some(ahead) = ahead {
            return ClockVerdict::AheadOfDatabase(ahead);
        }
        let expected = self.believed.0.0.saturating_add(steady.0.saturating_sub(self.believed.1.0));
        let off = wall.0.saturating_sub(expected);
        let allowed = if self.doubt.is_some_and(|doubt| doubt.started) { LONG_STOP } else { AGREES };
        if off.abs() <= allowed.0 {
            self.accept(wall, steady);
            return ClockVerdict::Sound;
        }
        let doubt = match self.doubt.filter(|doubt| off.abs_diff(doubt.off) <= AGREES.0.unsigned_abs()) {
            Some(doubt) => doubt,
            // It went off, or its offset changed.
            None => {
                let started = self.doubt.is_some_and(|doubt| doubt.started);
                let settles = if started { SETTLES } else { SETTLES_AFTER_JUMP };
                Doubt { off, since: steady, settles, started }
            }
        };
        self.doubt = Some(doubt);
        if steady.0.saturating_sub(doubt.since.0) >= doubt.settles.0 {
            self.accept(wall, steady);
            return ClockVerdict::Sound;
        }
        match off {
            ..0 => ClockVerdict::Sound,
            _ if doubt.started => ClockVerdict::Started(Span(off)),
            _ => ClockVerdict::Jumped(Span(off)),
        }
    }

    /// Trusts the wall clock as it is.
    pub fn accept(&mut self, wall: Micros, steady: Span) {
        (self.believed, self.doubt) = ((wall, steady), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Micros = Micros(1_772_366_400_000_000);
    const DAY: Span = Span::minutes(24 * 60);

    /// A running wall clock and steady clock.
    struct Clocks {
        wall: Micros,
        steady: Span,
    }

    impl Clocks {
        fn run(&mut self, span: Span) -> &mut Clocks {
            self.wall = self.wall + span;
            self.steady.0 += span.0;
            self
        }

        fn jump(&mut self, by: i64) -> &mut Clocks {
            self.wall.0 += by;
            self
        }

        fn watch(&self, known: Option<Micros>) -> ClockWatch {
            ClockWatch::new(self.wall, self.steady, known)
        }

        fn look(&self, watch: &mut ClockWatch) -> ClockVerdict {
            watch.compare(self.wall, self.steady, None)
        }
    }

    fn clocks() -> Clocks {
        Clocks { wall: NOON, steady: Span::seconds(7) }
    }

    #[test]
    fn a_running_clock_is_trusted_after_any_pause() {
        let mut clocks = clocks();
        let mut watch = clocks.watch(None);
        for span in [Span(1), Span::seconds(10), DAY, Span(DAY.0 * 900)] {
            assert_eq!(clocks.run(span).look(&mut watch), ClockVerdict::Sound);
            // Slewed a little each time, as NTP does.
            assert_eq!(clocks.jump(AGREES.0).look(&mut watch), ClockVerdict::Sound);
        }
    }

    #[test]
    fn a_jump_ahead_is_not_trusted_until_it_is_reverted() {
        let mut clocks = clocks();
        let mut watch = clocks.watch(None);
        clocks.run(DAY).look(&mut watch);
        let by = DAY.0 * 91;
        assert_eq!(clocks.jump(by).look(&mut watch), ClockVerdict::Jumped(Span(by)));
        assert_eq!(clocks.run(Span::seconds(7)).look(&mut watch), ClockVerdict::Jumped(Span(by)));
        assert_eq!(clocks.jump(-by).look(&mut watch), ClockVerdict::Sound);
        assert_eq!(clocks.jump(AGREES.0 + 1).look(&mut watch), ClockVerdict::Jumped(Span(AGREES.0 + 1)));
    }

    #[test]
    fn a_lasting_jump_is_trusted_after_a_day_or_by_an_operator() {
        let mut clocks = clocks();
        let mut watch = clocks.watch(None);
        clocks.jump(DAY.0).look(&mut watch);
        assert_eq!(clocks.run(Span(SETTLES_AFTER_JUMP.0 - 1)).look(&mut watch), ClockVerdict::Jumped(DAY));
        // Another jump restarts the day.
        clocks.jump(DAY.0).look(&mut watch);
        assert_eq!(clocks.run(Span(1)).look(&mut watch), ClockVerdict::Jumped(Span(DAY.0 * 2)));
        assert_eq!(clocks.run(Span(SETTLES_AFTER_JUMP.0 - 1)).look(&mut watch), ClockVerdict::Sound);
        clocks.jump(DAY.0).look(&mut watch);
        watch.accept(clocks.wall, clocks.steady);
        assert_eq!(clocks.run(Span(1)).look(&mut watch), ClockVerdict::Sound);
    }

    #[test]
    fn a_clock_that_is_set_back_deletes_nothing_early_and_may_return() {
        let mut clocks = clocks();
        let mut watch = clocks.watch(None);
        let hour = Span::minutes(60).0;
        assert_eq!(clocks.jump(-hour).look(&mut watch), ClockVerdict::Sound);
        assert_eq!(clocks.run(Span(DAY.0 / 2)).look(&mut watch), ClockVerdict::Sound);
        assert_eq!(clocks.jump(hour).look(&mut watch), ClockVerdict::Sound);
        // A clock that stays behind for long is trusted.
        clocks.jump(-hour).look(&mut watch);
        clocks.run(DAY).look(&mut watch);
        assert_eq!(clocks.jump(hour).look(&mut watch), ClockVerdict::Jumped(Span(hour)));
    }

    #[test]
    fn a_start_after_a_long_stop_waits_for_a_correction_of_the_clock() {
        let mut clocks = clocks();
        let known = clocks.wall;
        assert_eq!(clocks.look(&mut clocks.watch(Some(known))), ClockVerdict::Sound);
        let mut watch = clocks.jump(LONG_STOP.0).watch(Some(known));
        assert_eq!(clocks.look(&mut watch), ClockVerdict::Sound);
        let by = Span(LONG_STOP.0 + DAY.0);
        let mut watch = clocks.jump(DAY.0).watch(Some(known));
        assert_eq!(clocks.look(&mut watch), ClockVerdict::Started(by));
        assert_eq!(clocks.run(Span(SETTLES.0 - 1)).look(&mut watch), ClockVerdict::Started(by));
        assert_eq!(clocks.run(Span(1)).look(&mut watch), ClockVerdict::Sound);
        // NTP sets it back to about where the last server was.
        let mut wrong = clocks.watch(Some(known));
        assert!(matches!(clocks.look(&mut wrong), ClockVerdict::Started(_)));
        clocks.wall = known;
        assert_eq!(clocks.look(&mut wrong), ClockVerdict::Sound);
        assert!(matches!(clocks.jump(DAY.0).look(&mut wrong), ClockVerdict::Jumped(_)));
        // The server before was ahead.
        assert_eq!(clocks.look(&mut clocks.watch(Some(clocks.wall + DAY))), ClockVerdict::Sound);
    }

    #[test]
    fn a_database_clock_that_is_behind_counts() {
        let clocks = clocks();
        let mut watch = clocks.watch(None);
        let mut look =
            |off: i64| watch.compare(clocks.wall, clocks.steady, Some(Micros(clocks.wall.0 + off)));
        assert_eq!(look(-AGREES.0), ClockVerdict::Sound);
        assert_eq!(look(-AGREES.0 - 1), ClockVerdict::AheadOfDatabase(Span(AGREES.0 + 1)));
        assert_eq!(look(DAY.0), ClockVerdict::Sound);
        assert_eq!(look(0), ClockVerdict::Sound);
    }
}
