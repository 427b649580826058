//! Which hold of a device may drive it. Pure: see the `protocol` crate for why.

/// What is known of the holds of one device. Numbers only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fence {
    largest: Option<i64>,
    ended: bool,
}

/// Why a call of some hold is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StaleHold {
    /// This very hold has ended.
    Ended,
    /// A newer hold has been seen.
    Replaced,
}

impl StaleHold {
    /// One sentence for the caller.
    pub(crate) fn sentence(self) -> &'static str {
        match self {
            Self::Ended => "this hold of the device has ended; allocate a device again",
            Self::Replaced => "this hold of the device was replaced by a newer one; allocate a device again",
        }
    }
}

impl Fence {
    /// Learns that a hold stands. A smaller number changes nothing, nor does one that has ended.
    pub(crate) fn observe_hold(&mut self, fence: i64) {
        if self.largest.is_none_or(|largest| fence > largest) {
            *self = Self { largest: Some(fence), ended: false };
        }
    }

    /// Learns that a hold has ended. Answers whether the device is to be cleaned after it: not when somebody
    /// else holds it by now.
    pub(crate) fn end_hold(&mut self, fence: i64) -> bool {
        self.observe_hold(fence);
        let newest = self.largest == Some(fence);
        self.ended |= newest;
        newest
    }

    /// Whether a call of this hold may run.
    pub(crate) fn check_hold(&self, fence: i64) -> Result<(), StaleHold> {
        match self.largest {
            Some(largest) if largest > fence => Err(StaleHold::Replaced),
            Some(largest) if largest == fence && self.ended => Err(StaleHold::Ended),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Event {
        See(i64),
        End(i64, bool),
        Admits(i64),
        Refuses(i64, StaleHold),
    }
    use Event::*;

    #[test]
    fn only_the_newest_hold_that_stands_is_admitted() {
        let table: [(&str, Vec<Event>); 7] = [
            ("anything is new at first", vec![Admits(7), Admits(1)]),
            (
                "a newer hold replaces",
                vec![See(5), Admits(5), See(6), Refuses(5, StaleHold::Replaced), Admits(6)],
            ),
            (
                "an older notice changes nothing",
                vec![See(6), See(5), Admits(6), Refuses(5, StaleHold::Replaced)],
            ),
            ("an ended hold is refused", vec![See(5), End(5, true), Refuses(5, StaleHold::Ended), Admits(6)]),
            ("an ended hold does not come back", vec![End(5, true), See(5), Refuses(5, StaleHold::Ended)]),
            ("ending twice is the same", vec![End(5, true), End(5, true), Refuses(5, StaleHold::Ended)]),
            ("no cleaning under a newer hold", vec![See(6), End(5, false), Admits(6)]),
        ];
        for (name, events) in table {
            let mut fence = Fence::default();
            for event in events {
                match event {
                    See(number) => fence.observe_hold(number),
                    End(number, clean) => assert_eq!(fence.end_hold(number), clean, "{name}"),
                    Admits(number) => assert_eq!(fence.check_hold(number), Ok(()), "{name}"),
                    Refuses(number, why) => assert_eq!(fence.check_hold(number), Err(why), "{name}"),
                }
            }
        }
    }
}
