//! Decides which hold may drive a device. Pure; the `protocol` crate explains why fencing is needed.

/// What is known about the holds of one device. Fencing numbers only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fence {
    largest: Option<i64>,
    ended: bool,
}

/// Why a hold's call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StaleHold {
    /// This hold has ended.
    Ended,
    /// A newer hold exists.
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
    /// Records that a hold exists. Changes nothing unless its number is larger than all earlier ones.
    pub(crate) fn observe_hold(&mut self, fence: i64) {
        if self.largest.is_none_or(|largest| fence > largest) {
            *self = Self { largest: Some(fence), ended: false };
        }
    }

    /// Records that a hold has ended. Returns whether the device must be cleaned: not if a newer hold exists.
    pub(crate) fn end_hold(&mut self, fence: i64) -> bool {
        self.observe_hold(fence);
        let newest = self.largest == Some(fence);
        self.ended |= newest;
        newest
    }

    /// Checks whether a call of this hold may run.
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
        Accepts(i64),
        Refuses(i64, StaleHold),
    }
    use Event::*;

    #[test]
    fn only_the_newest_active_hold_is_accepted() {
        let table: [(&str, Vec<Event>); 7] = [
            ("anything is new at first", vec![Accepts(7), Accepts(1)]),
            (
                "a newer hold replaces",
                vec![See(5), Accepts(5), See(6), Refuses(5, StaleHold::Replaced), Accepts(6)],
            ),
            (
                "an older notice changes nothing",
                vec![See(6), See(5), Accepts(6), Refuses(5, StaleHold::Replaced)],
            ),
            (
                "an ended hold is refused",
                vec![See(5), End(5, true), Refuses(5, StaleHold::Ended), Accepts(6)],
            ),
            ("an ended hold does not come back", vec![End(5, true), See(5), Refuses(5, StaleHold::Ended)]),
            ("ending twice is the same", vec![End(5, true), End(5, true), Refuses(5, StaleHold::Ended)]),
            ("no cleaning under a newer hold", vec![See(6), End(5, false), Accepts(6)]),
        ];
        for (name, events) in table {
            let mut fence = Fence::default();
            for event in events {
                match event {
                    See(number) => fence.observe_hold(number),
                    End(number, clean) => assert_eq!(fence.end_hold(number), clean, "{name}"),
                    Accepts(number) => assert_eq!(fence.check_hold(number), Ok(()), "{name}"),
                    Refuses(number, why) => assert_eq!(fence.check_hold(number), Err(why), "{name}"),
                }
            }
        }
    }
}
