//! Text of logs, as it may be shown to people.

use std::borrow::Cow;

/// The same text with escapes (`\u{1b}`) in the place of characters that a terminal would obey: those
/// of control, and those that turn the direction of what follows.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return text.into();
    }
    let escaped = |c: char| match is_obeyed(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(escaped).collect::<String>().into()
}

fn is_obeyed(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        for (text, shown) in [
            ("shop/cart-0 \u{fc}ber \\ \"x\"", "shop/cart-0 \u{fc}ber \\ \"x\""),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("a\nb\tc\r\0", "a\\nb\\tc\\r\\u{0}"),
            ("\u{7f}\u{9b}2J", "\\u{7f}\\u{9b}2J"),
            ("user\u{202e}txt", "user\\u{202e}txt"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }
}
