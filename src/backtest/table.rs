//! A comparison as people read it.

use std::fmt::Write;

use super::{By, Compared, Counts};
use crate::authoring::grouped;
use crate::model::printable::printable;

/// What the rows and columns of the table are.
const HEAD: [&str; 11] = [
    "signal",
    "state",
    "same",
    "only A",
    "only B",
    "since -",
    "since +",
    "until -",
    "until +",
    "decided -",
    "decided +",
];

/// How many episodes are the same, are only in one, or were moved, by signal and state.
pub fn table(compared: &Compared) -> String {
    let mut text = String::new();
    for (mark, (name, episodes)) in
        ["A", "B"].into_iter().zip(compared.rules.iter().zip(compared.episodes))
    {
        let (name, episodes) = (printable(name), grouped(episodes));
        line(&mut text, &format!("{mark} {name}: {episodes} episodes"));
    }
    if let Some(why) = &compared.read_twice {
        line(&mut text, &format!("the log was read twice: {}", printable(why)));
    }
    if !compared.by_state.is_empty() {
        let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
        rows.extend(compared.by_state.iter().map(row));
        if compared.by_state.len() > 1 {
            rows.push(cells("all", "", &compared.all));
        }
        text.push('\n');
        aligned(&mut text, &rows, 2);
        text.push('\n');
    }
    let Counts { same, only_a, only_b, moved, .. } = compared.all;
    let [same, only_a, only_b, moved] = [same, only_a, only_b, moved].map(grouped);
    line(
        &mut text,
        &format!(
            "{same} the same, {only_a} only in A, {only_b} only in B, {moved} moved (- earlier, + later in B)"
        ),
    );
    text
}

pub(super) fn line(text: &mut String, what: &str) {
    writeln!(text, "{what}").expect("a String takes every write");
}

fn row(By { signal, state, counts }: &By) -> Vec<String> {
    cells(signal, state, counts)
}

fn cells(signal: &str, state: &str, counts: &Counts) -> Vec<String> {
    let Counts { same, only_a, only_b, since, until, decided, .. } = counts;
    let numbers = [
        same,
        only_a,
        only_b,
        &since.earlier,
        &since.later,
        &until.earlier,
        &until.later,
        &decided.earlier,
        &decided.later,
    ];
    let texts = [signal, state].map(|text| printable(text).to_string());
    texts.into_iter().chain(numbers.map(|number| grouped(*number))).collect()
}

/// Texts, which come first, to the left, numbers to the right.
pub(super) fn aligned(text: &mut String, rows: &[Vec<String>], texts: usize) {
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column < texts { format!("{cell:width$}") } else { format!("{cell:>width$}") }
        });
        line(text, cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}
