//! What reading the four fields costs with a library that is known to be fast, and that skips what
//! is not asked for without judging it.

use std::hint::black_box;
use std::io;
use std::path::Path;

use memchr::memchr_iter;
use sonic_rs::{JsonValueTrait, PointerTree, get_many};

use super::input::Map;

/// Reads the four fields of every line and does nothing with them; the number of lines.
pub(crate) fn parse(path: &Path) -> io::Result<u64> {
    let file = Map::open(path)?;
    let mut tree = PointerTree::new();
    for key in ["ts", "entity", "state", "seq"] {
        tree.add_path([key]);
    }
    let (mut sum, mut lines) = (0_u64, 0);
    for chunk in file.chunks() {
        let text = chunk.lines();
        let mut start = 0;
        for end in memchr_iter(b'\n', text).chain([text.len()]) {
            let line = &text[start..end];
            start = (end + 1).min(text.len());
            if line.is_empty() {
                continue;
            }
            lines += 1;
            let Ok(values) = get_many(line, &tree) else { continue };
            let [Some(ts), Some(entity), Some(state), Some(seq)] = values.as_slice() else {
                continue;
            };
            let length = |text: Option<&str>| text.map_or(0, str::len) as u64;
            sum = sum
                .wrapping_add(ts.as_u64().unwrap_or(0))
                .wrapping_add(seq.as_u64().unwrap_or(0))
                .wrapping_add(length(entity.as_str()) + length(state.as_str()));
        }
    }
    black_box(sum);
    Ok(lines)
}
