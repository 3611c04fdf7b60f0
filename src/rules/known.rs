//! What is known of records before any is read: what the sources of a signal say of all of them.

use smol_str::SmolStr;

use super::condition::Attribute;
use super::source::{Columns, Mapping, ReadSource, Text, names_help};

/// What all records of some sources have in common. By default nothing is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Their fields, if they have no depth: all of these are texts.
    columns: Option<Columns>,
    /// Attributes that are the same in all records of a source, with what they are.
    consts: Vec<(Attribute, Vec<SmolStr>)>,
    /// Attributes that none has.
    absent: Vec<Attribute>,
}

/// An attribute of a mapping.
type TextOf = fn(&Mapping) -> &Text;

impl Known {
    /// Of the records of any of these sources.
    pub(super) fn of(sources: &[&ReadSource]) -> Self {
        let columns = sources.iter().map(|read| read.columns.as_ref()).collect::<Option<Vec<_>>>();
        let columns = columns.and_then(|columns| columns.into_iter().cloned().reduce(Columns::or));
        let read = sources.iter().map(|read| read.source.as_ref()).collect::<Option<Vec<_>>>();
        let formats: Vec<_> = read.iter().flatten().map(|source| &source.format).collect();
        let mapped = formats.iter().map(|format| format.mapping()).collect::<Option<Vec<_>>>();
        let Some(mapped) = mapped.filter(|mapped| !mapped.is_empty()) else {
            return Self { columns, ..Self::default() };
        };
        let mut absent = vec![Attribute::Severity, Attribute::Traceparent];
        if mapped.iter().all(|mapping| !matches!(mapping.sequence, Some(Text::Field(_)))) {
            absent.push(Attribute::Sequence);
        }
        let text_of: [(Attribute, TextOf); 3] = [
            (Attribute::Type, |mapping| &mapping.type_),
            (Attribute::Source, |mapping| &mapping.source),
            (Attribute::Subject, |mapping| &mapping.subject),
        ];
        let consts = text_of.into_iter().filter_map(|(attribute, text)| {
            let consts = mapped.iter().map(|mapping| match text(mapping) {
                Text::Const(text) => Some(text.clone()),
                _ => None,
            });
            Some((attribute, consts.collect::<Option<Vec<_>>>()?))
        });
        Self { columns, consts: consts.collect(), absent }
    }

    /// Whether what stands in `data` is text, and has no fields.
    pub(super) fn is_flat(&self) -> bool {
        self.columns.is_some()
    }

    /// Whether no record has an attribute.
    pub(super) fn lacks(&self, attribute: &Attribute) -> bool {
        self.absent.contains(attribute)
    }

    /// What an attribute is in each record, if the sources say so.
    pub(super) fn consts(&self, attribute: &Attribute) -> Option<&[SmolStr]> {
        let (_, consts) = self.consts.iter().find(|(known, _)| known == attribute)?;
        Some(consts)
    }

    /// What is wrong with asking for these keys of `data`, and what would be right; `quoted` is how
    /// a name with a dot is asked for.
    pub(super) fn fault(
        &self,
        keys: &[SmolStr],
        quoted: impl Fn(&str) -> String,
    ) -> Option<(String, String)> {
        let Columns { kind, names } = self.columns.as_ref()?;
        match keys {
            [] => None,
            [name] => {
                let names = names.as_ref().filter(|names| !names.contains(name))?;
                Some((format!("unknown {kind} `{name}`"), names_help(kind, name, names)))
            }
            _ => {
                let joined = keys.join(".");
                let message = format!("a {kind} has no fields of its own, as `{joined}` asks for");
                Some((message, format!("write {} if it is one {kind}", quoted(&joined))))
            }
        }
    }
}
