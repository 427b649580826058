//! Encodes a movie of one picture: the smallest valid QuickTime file (QuickTime File Format specification, "Movie
//! atoms").

/// Time units in a second.
const TIMESCALE: u32 = 1000;

/// Encodes a movie that shows the PNG picture for this many seconds.
pub(super) fn encode_movie(picture: &[u8], (width, height): (u32, u32), seconds: u32) -> Vec<u8> {
    let duration = seconds.saturating_mul(TIMESCALE);
    let kind = atom(b"ftyp", &[b"qt  ", &be(0x200), b"qt  "]);
    let data = atom(b"mdat", &[picture]);
    let offset = kind.len() as u32 + 8;
    let table = sample_table(picture.len() as u32, offset, (width, height), duration);
    let media_information = atom(
        b"minf",
        &[
            &atom(b"vmhd", &[&be(1), &[0; 8]]),
            &atom(b"dinf", &[&atom(b"dref", &[&be(0), &be(1), &atom(b"url ", &[&be(1)])])]),
            &table,
        ],
    );
    let media = atom(
        b"mdia",
        &[
            &atom(b"mdhd", &[&[0; 12], &be(TIMESCALE), &be(duration), &[0; 4]]),
            &atom(b"hdlr", &[&be(0), b"mhlr", b"vide", &[0; 13]]),
            &media_information,
        ],
    );
    let size = [be(width << 16), be(height << 16)].concat();
    let track_header =
        atom(b"tkhd", &[&be(3), &[0; 8], &be(1), &[0; 4], &be(duration), &[0; 16], &matrix(), &size]);
    let movie_header = atom(
        b"mvhd",
        &[
            &[0; 12],
            &be(TIMESCALE),
            &be(duration),
            &be(0x1_0000), // normal speed
            &[1, 0],       // full volume
            &[0; 10],
            &matrix(),
            &[0; 24],
            &be(2), // the next track
        ],
    );
    let movie = atom(b"moov", &[&movie_header, &atom(b"trak", &[&track_header, &media])]);
    [kind, data, movie].concat()
}

/// The table of the only sample: its position, its duration, and its format (PNG).
fn sample_table(length: u32, offset: u32, (width, height): (u32, u32), duration: u32) -> Vec<u8> {
    let size = ((width & 0xffff) << 16) | (height & 0xffff);
    let dots_per_inch = be(72 << 16);
    let description = atom(
        b"png ",
        &[
            &[0; 6],
            &[0, 1],
            &[0; 16],
            &be(size),
            &dots_per_inch,
            &dots_per_inch,
            &be(0),
            &[0, 1], // frames in a sample
            &[0; 32],
            &[0, 24, 0xff, 0xff],
        ],
    );
    atom(
        b"stbl",
        &[
            &atom(b"stsd", &[&be(0), &be(1), &description]),
            &atom(b"stts", &[&be(0), &be(1), &be(1), &be(duration)]),
            &atom(b"stsc", &[&be(0), &be(1), &be(1), &be(1), &be(1)]),
            &atom(b"stsz", &[&be(0), &be(length), &be(1)]),
            &atom(b"stco", &[&be(0), &be(1), &be(offset)]),
        ],
    )
}

/// The matrix that neither turns nor scales.
fn matrix() -> Vec<u8> {
    [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000].map(be).concat()
}

fn atom(kind: &[u8; 4], parts: &[&[u8]]) -> Vec<u8> {
    let length = 8 + parts.iter().map(|part| part.len() as u32).sum::<u32>();
    let mut atom = [be(length), *kind].concat();
    parts.iter().for_each(|part| atom.extend_from_slice(part));
    atom
}

fn be(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_atoms_fill_the_file_and_the_sample_is_where_the_table_says() {
        let file = encode_movie(b"a picture", (270, 600), 3);
        let (mut at, mut kinds) = (0, Vec::new());
        while at < file.len() {
            let length = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
            kinds.push(String::from_utf8(file[at + 4..at + 8].to_vec()).unwrap());
            at += length;
        }
        assert_eq!((at, kinds), (file.len(), vec!["ftyp".into(), "mdat".into(), "moov".into()]));
        let table = file.windows(4).position(|name| name == b"stco").unwrap();
        let offset = u32::from_be_bytes(file[table + 12..table + 16].try_into().unwrap()) as usize;
        assert_eq!(&file[offset..offset + 9], b"a picture");
    }
}
