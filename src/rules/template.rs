//! Texts of a rule with places for what an episode says, written as Prometheus writes them:
//! `{{ $labels.zone }} is {{ $state }}`.

use std::fmt;
use std::ops::Range;

use smol_str::SmolStr;

use super::condition::Fault;
use super::diagnostics::suggestion;

/// A text with places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: SmolStr,
    pieces: Vec<Piece>,
}

/// As the rule file has it.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A piece of a text with places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As written.
    Text(SmolStr),
    /// `{{ $labels.NAME }}`: a label of the signal, by its number.
    Label(usize),
    /// `{{ $value }}`
    Value,
    /// `{{ $entity }}`
    Entity,
    /// `{{ $state }}`
    State,
    /// `{{ $signal }}`
    Signal,
    /// `{{ $rule }}`
    Rule,
}

/// What may stand in a place, but for labels.
const VARIABLES: [(&str, Piece); 5] = [
    ("$value", Piece::Value),
    ("$entity", Piece::Entity),
    ("$state", Piece::State),
    ("$signal", Piece::Signal),
    ("$rule", Piece::Rule),
];

impl Template {
    /// The pieces in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Reads a text; `labels` are those of the rule's signal, if it is known which that is.
    pub(super) fn parse(text: &str, labels: Option<&[&str]>) -> Result<Self, Vec<Fault>> {
        let (mut pieces, mut faults) = (Vec::new(), Vec::new());
        let mut at = 0;
        while let Some(open) = text[at..].find("{{").map(|open| at + open) {
            let literal = &text[at..open];
            pieces.extend((!literal.is_empty()).then(|| Piece::Text(literal.into())));
            let Some(close) = text[open..].find("}}").map(|close| open + close) else {
                faults.push(Fault {
                    place: open..text.len(),
                    message: "`{{` is not closed".to_owned(),
                    help: "write {{ $labels.NAME }}, or {{ $value }}".to_owned(),
                });
                return Err(faults);
            };
            let inside = &text[open + 2..close];
            let start = open + 2 + inside.len() - inside.trim_start().len();
            let name = inside.trim();
            match variable(name, labels) {
                Ok(piece) => pieces.push(piece),
                Err((message, help)) => {
                    let place: Range<usize> = start..start + name.len();
                    faults.push(Fault { place, message, help });
                }
            }
            at = close + 2;
        }
        pieces.extend((at < text.len()).then(|| Piece::Text(text[at..].into())));
        let text = text.into();
        if faults.is_empty() { Ok(Self { text, pieces }) } else { Err(faults) }
    }
}

/// What a place asks for, or what is wrong and what would be right.
fn variable(name: &str, labels: Option<&[&str]>) -> Result<Piece, (String, String)> {
    let has_function = name.contains(|c: char| c.is_whitespace() || matches!(c, '|' | '('));
    if let Some(label) = name.strip_prefix("$labels.").filter(|_| !has_function) {
        // Where no label is known, what comes of the text does not matter.
        let Some(labels) = labels else { return Ok(Piece::Label(0)) };
        return match labels.iter().position(|known| *known == label) {
            Some(number) => Ok(Piece::Label(number)),
            None => Err(unknown_label(label, labels)),
        };
    }
    if let Some((_, piece)) = VARIABLES.iter().find(|(known, _)| *known == name) {
        return Ok(piece.clone());
    }
    let help = "known are $labels.NAME, $value, $entity, $state, $signal and $rule, each as it is";
    let message = match name {
        "" => "nothing stands between `{{` and `}}`".to_owned(),
        name if has_function => {
            format!("`{name}` asks for a function or a pipe, and templates have none")
        }
        "$labels" => "`$labels` is all of them: ask for one, as $labels.NAME".to_owned(),
        name => format!("`{name}` is not known in a template"),
    };
    Err((message, help.to_owned()))
}

/// What to say of a label that a signal has not.
pub(super) fn unknown_label(label: &str, labels: &[&str]) -> (String, String) {
    let help = match labels {
        [] => format!("the signal has no labels; add `labels: {{ {label}: data.{label} }}` to it"),
        labels => suggestion("label", label, labels),
    };
    (format!("the signal has no label `{label}`"), help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_and_checked() {
        let parse = |text| Template::parse(text, Some(&["zone", "team"]));
        let pieces = |text| parse(text).map(|template| template.pieces);
        assert_eq!(pieces(""), Ok(vec![]));
        assert_eq!(pieces("{ } }}"), Ok(vec![Piece::Text("{ } }}".into())]));
        assert_eq!(
            pieces("in {{$labels.team}}{{ $state  }}!"),
            Ok(vec![
                Piece::Text("in ".into()),
                Piece::Label(1),
                Piece::State,
                Piece::Text("!".into())
            ])
        );
        for (text, place, message) in [
            ("a {{ $labels.zones }}", "$labels.zones", "the signal has no label `zones`"),
            (
                "{{ $labels.zone | toUpper }}",
                "$labels.zone | toUpper",
                "`$labels.zone | toUpper` asks for a function or a pipe, and templates have none",
            ),
            ("{{ .Foo }}", ".Foo", "`.Foo` is not known in a template"),
            ("ä {{", "{{", "`{{` is not closed"),
            ("{{ }}", "", "nothing stands between `{{` and `}}`"),
        ] {
            let faults = parse(text).unwrap_err();
            assert_eq!((&text[faults[0].place.clone()], &*faults[0].message), (place, message));
        }
        assert_eq!(parse("{{ $a }} {{ $b }}").unwrap_err().len(), 2);
    }
}
