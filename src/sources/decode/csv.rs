//! Delimited text: a line becomes fields, quoted as RFC 4180 says and no other way.
//!
//! A field that starts with a quote ends with the next one that is not doubled; any other field is
//! what stands between two delimiters, blanks included, and has no quote in it. A record is a line,
//! so that a quoted field cannot hold the end of one. State: a place in the line.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use super::Unreadable;

/// The fields of a line, each with where it starts; after an error there are no more.
pub(crate) struct Fields<'a> {
    line: &'a str,
    delimiter: u8,
    /// Where the next field starts.
    next: Option<usize>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(line: &'a str, delimiter: u8) -> Self {
        Self { line, delimiter, next: Some(0) }
    }

    fn plain(&mut self, start: usize) -> Result<Cow<'a, str>, Unreadable> {
        let rest = &self.line[start..];
        match memchr2(self.delimiter, b'"', rest.as_bytes()) {
            None => Ok(Cow::Borrowed(rest)),
            Some(at) if rest.as_bytes()[at] == self.delimiter => {
                self.next = Some(start + at + 1);
                Ok(Cow::Borrowed(&rest[..at]))
            }
            Some(at) => {
                let reason = "a quote in a field without quotes around it; \
                              put it in quotes, and double those within";
                Err(unreadable(start + at, reason))
            }
        }
    }

    /// What follows the quote at `open`.
    fn quoted(&mut self, open: usize) -> Result<Cow<'a, str>, Unreadable> {
        let bytes = self.line.as_bytes();
        let (mut at, mut doubled) = (open + 1, false);
        let close = loop {
            let Some(quote) = memchr(b'"', &bytes[at..]).map(|found| at + found) else {
                let reason = "a quote that is not closed in its line; \
                              a record is one line, and no field can hold the end of it";
                return Err(unreadable(open, reason));
            };
            if bytes.get(quote + 1) != Some(&b'"') {
                break quote;
            }
            (at, doubled) = (quote + 2, true);
        };
        self.next = match bytes.get(close + 1) {
            None => None,
            Some(byte) if *byte == self.delimiter => Some(close + 2),
            Some(_) => {
                let reason = "text behind a closing quote; double a quote that is meant as one";
                return Err(unreadable(close + 1, reason));
            }
        };
        let text = &self.line[open + 1..close];
        Ok(if doubled { Cow::Owned(text.replace("\"\"", "\"")) } else { Cow::Borrowed(text) })
    }
}

#[cold]
fn unreadable(at: usize, reason: &str) -> Unreadable {
    Unreadable { column: at + 1, reason: reason.to_owned() }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(usize, Cow<'a, str>), Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.next.take()?;
        let field = match self.line.as_bytes().get(start) {
            Some(b'"') => self.quoted(start),
            _ => self.plain(start),
        };
        Some(field.map(|field| (start, field)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fields(line: &str, delimiter: u8) -> Result<Vec<String>, Unreadable> {
        let fields = Fields::new(line, delimiter);
        fields.map(|field| field.map(|(_, text)| text.into_owned())).collect()
    }

    /// What the crate csv reads, which is lenient with quotes.
    fn by_csv(line: &str, delimiter: u8) -> Vec<String> {
        let mut reader = csv::ReaderBuilder::new();
        reader.has_headers(false).delimiter(delimiter);
        reader.terminator(csv::Terminator::Any(b'\n'));
        let mut reader = reader.from_reader(line.as_bytes());
        let record = reader.records().next().expect("a record").expect("no I/O fails");
        record.iter().map(str::to_owned).collect()
    }

    #[test]
    fn a_quote_in_the_wrong_place_is_told_with_its_column() {
        for (line, column, reason) in [
            ("a,b\"c", 4, "a quote in a field"),
            ("a, \"b\"", 4, "a quote in a field"),
            ("a,\"b", 3, "not closed"),
            ("\"", 1, "not closed"),
            ("a,\"b\"\"", 3, "not closed"),
            ("\"a\"b,c", 4, "behind a closing quote"),
            ("\"a\" ,c", 4, "behind a closing quote"),
        ] {
            let error = fields(line, b',').expect_err(line);
            assert_eq!(error.column, column, "{line}: {error:?}");
            assert!(error.reason.contains(reason), "{line}: {error:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            row in prop::collection::vec("[a,;\t\" \ré]{0,6}", 1..6),
            delimiter in prop::sample::select(&b",;\t|"[..]),
            quotes in any::<bool>(),
        ) {
            let style = if quotes { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary };
            let mut writer = csv::WriterBuilder::new();
            writer.delimiter(delimiter).quote_style(style);
            let mut writer = writer.from_writer(Vec::new());
            writer.write_record(&row).expect("a Vec takes every write");
            let line = String::from_utf8(writer.into_inner().expect("whole")).expect("text");
            prop_assert_eq!(fields(line.trim_end_matches('\n'), delimiter), Ok(row));
        }

        #[test]
        fn what_is_read_is_what_others_read(line in "[a,\" é]{1,16}") {
            if let Ok(read) = fields(&line, b',') {
                prop_assert_eq!(read, by_csv(&line, b','));
            }
        }

        #[test]
        fn fields_start_behind_a_delimiter(line in "[a,\" é]{0,16}") {
            for field in Fields::new(&line, b',') {
                match field {
                    Ok((start, _)) => {
                        prop_assert!(start == 0 || line.as_bytes()[start - 1] == b',');
                    }
                    Err(error) => prop_assert!((1..=line.len()).contains(&error.column)),
                }
            }
        }
    }
}
