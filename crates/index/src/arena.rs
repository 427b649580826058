//! Many short texts in a few large allocations. The room of a text that is freed is used again.

/// The room of a text is a multiple of this.
const UNIT: usize = 8;
/// The units of a chunk.
const CHUNK: usize = 1 << 17;
/// A text of at most as many units leaves exactly its room behind; a longer one, a power of two.
const EXACT: usize = 32;

/// Where a text begins, in units.
pub(crate) type Address = u32;

/// Texts.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    /// Each chunk but the last is full. A long text has several, of which the first holds it all.
    chunks: Vec<Box<[u8]>>,
    /// The units of the last chunk that were given away.
    used: usize,
    /// The addresses that were freed, by the number of their units.
    free: std::collections::BTreeMap<usize, Vec<Address>>,
}

/// The units that a text of some bytes takes, with its length.
fn units_for(length: usize) -> usize {
    let units = (length + length_bytes(length)).div_ceil(UNIT);
    if units <= EXACT { units } else { units.next_power_of_two() }
}

/// Short lengths take one byte.
fn length_bytes(length: usize) -> usize {
    if length < 0xff { 1 } else { 5 }
}

impl Arena {
    /// Stores a text.
    pub(crate) fn insert(&mut self, text: &[u8]) -> Address {
        let units = units_for(text.len());
        let address = self.free.get_mut(&units).and_then(Vec::pop).unwrap_or_else(|| self.reserve(units));
        let start = address as usize % CHUNK * UNIT;
        let room = &mut self.chunks[address as usize / CHUNK][start..];
        let at = length_bytes(text.len());
        match u8::try_from(text.len()) {
            Ok(length) if at == 1 => room[0] = length,
            _ => {
                room[0] = 0xff;
                let length = u32::try_from(text.len()).expect("a text has less than 4 GiB");
                room[1..5].copy_from_slice(&length.to_le_bytes());
            }
        }
        room[at..at + text.len()].copy_from_slice(text);
        address
    }

    fn reserve(&mut self, units: usize) -> Address {
        if self.chunks.is_empty() || self.used + units > CHUNK {
            if self.chunks.last().is_some() && self.used < CHUNK {
                // The rest of the chunk is for shorter texts.
                let rest = (self.chunks.len() - 1) * CHUNK + self.used;
                self.free_rest(rest, CHUNK - self.used);
            }
            let chunks = units.div_ceil(CHUNK).max(1);
            self.chunks.push(vec![0; chunks * CHUNK * UNIT].into_boxed_slice());
            self.chunks.resize_with(self.chunks.len() + chunks - 1, Box::default);
            // A chunk of several has no room for another text.
            let first = self.chunks.len() - chunks;
            self.used = if chunks > 1 { CHUNK } else { units };
            return Address::try_from(first * CHUNK).expect("texts take less than 32 GiB");
        }
        let address = (self.chunks.len() - 1) * CHUNK + self.used;
        self.used += units;
        Address::try_from(address).expect("texts take less than 32 GiB")
    }

    fn free_rest(&mut self, mut address: usize, mut units: usize) {
        while units > 0 {
            let part = units.min(EXACT);
            self.free.entry(part).or_default().push(address as Address);
            (address, units) = (address + part, units - part);
        }
    }

    /// A text.
    pub(crate) fn get(&self, address: Address) -> &[u8] {
        let room = &self.chunks[address as usize / CHUNK][address as usize % CHUNK * UNIT..];
        match room[0] {
            0xff => {
                let length = u32::from_le_bytes([room[1], room[2], room[3], room[4]]);
                &room[5..5 + length as usize]
            }
            length => &room[1..1 + usize::from(length)],
        }
    }

    /// Frees a text.
    pub(crate) fn remove(&mut self, address: Address) {
        let units = units_for(self.get(address).len());
        self.free.entry(units).or_default().push(address);
    }

    /// About how many bytes it holds.
    pub(crate) fn memory(&self) -> usize {
        let chunks = self.chunks.iter().map(|chunk| chunk.len()).sum::<usize>();
        chunks + self.free.values().map(|free| free.capacity() * size_of::<Address>()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn texts_are_kept_until_they_are_freed(
            steps in proptest::collection::vec((any::<bool>(), prop_oneof![20 => 0usize..300, 1 => 250_000usize..1_300_000], any::<u8>()), 1..60),
        ) {
            let (mut arena, mut kept) = (Arena::default(), Vec::<(Address, Vec<u8>)>::new());
            for (frees, length, byte) in steps {
                if frees && !kept.is_empty() {
                    let (address, text) = kept.swap_remove(length % kept.len());
                    prop_assert_eq!(arena.get(address), &text[..]);
                    arena.remove(address);
                } else {
                    let text = vec![byte; length];
                    kept.push((arena.insert(&text), text));
                }
            }
            for (address, text) in &kept {
                prop_assert_eq!(arena.get(*address), &text[..]);
            }
        }
    }

    #[test]
    fn the_room_of_freed_texts_is_used_again() {
        let mut arena = Arena::default();
        for number in 0..400_000 {
            let address = arena.insert(format!("run-{number}").as_bytes());
            arena.remove(address);
        }
        assert!(arena.memory() < 2 * CHUNK * UNIT, "{}", arena.memory());
    }
}
