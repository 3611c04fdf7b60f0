//! Rows of segments become rows of others.
//!
//! Guarantee: a row that was copied is to whoever looks at it what it was. State: none.

use std::borrow::Cow;

use super::form::{self, At};
use super::leaves::{Leaf, Value};
use super::rows::Rows;
use super::schema::Layout;
use super::values::number;
use super::write::{Builder, Place, Shape};
use crate::model::Scalar;
use crate::sources::InputError;

impl Rows {
    /// What the records of their segment have in common.
    pub(super) fn shape(&self) -> Shape {
        let Layout { data, sequence_shown, json, .. } = &self.group.segment.layout;
        Shape { data: data.clone(), sequence_shown: *sequence_shown, json: *json }
    }
}

impl Builder {
    /// Adds a row as it is, of a segment of the same [`Shape`].
    ///
    /// # Errors
    /// [`InputError::Segment`], if it cannot be read.
    pub(super) fn copy(&mut self, rows: &Rows, row: usize) -> Result<(), InputError> {
        let failed = || rows.failure().map_or(Ok(()), Err);
        let Some(whole) = rows.whole() else { return failed() };
        let attributes = &rows.attributes;
        let is_record = rows.dead_letter(row).is_none() && rows.mark(row).is_none();
        let time = |times: &Option<super::values::Times>| times.as_ref()?.get(row);
        self.time.push(time(&attributes.time));
        self.arrival.push(time(&attributes.arrival));
        self.source.push(attributes.source.get(row));
        self.type_.push(attributes.type_.get(row));
        self.subject.push(attributes.subject.get(row));
        self.sequence.push(number(&attributes.sequence, row));
        self.sequence_text.push(attributes.sequence_text.get(row));
        self.id.push(attributes.id.get(row));
        self.hash.push(number(&attributes.hash, row));
        self.content.push(number(&attributes.content, row));
        self.column.push(number(&attributes.column, row));
        self.reason.push(attributes.reason.get(row));
        self.record.push(attributes.record.get(row));
        self.mark.push(attributes.mark.get(row));
        self.dead_letters += u64::from(attributes.reason.get(row).is_some());
        self.marks += u64::from(attributes.mark.get(row).is_some());

        self.tree.begin();
        let mut leaves = Vec::new();
        let rest = whole.rest.get(row).filter(|_| is_record);
        rest.into_iter().for_each(|rest| self.tree.take_apart(rest, &mut leaves));
        let columns = &rows.group.segment.layout.columns;
        let paths: Vec<usize> = columns.iter().map(|of| self.tree.path(&of.path)).collect();
        for (path, found) in paths.iter().zip(&whole.columns).filter(|_| is_record) {
            let value = match rows.found(found, row) {
                Scalar::Bool(value) => Value::Bool(value),
                Scalar::Int(number) => Value::Int(number),
                Scalar::Float(number) => Value::Float(number, Cow::Borrowed("")),
                Scalar::Str(text) => Value::Str(text),
                Scalar::Missing | Scalar::Null | Scalar::UInt(_) | Scalar::Composite => continue,
            };
            leaves.push(Leaf { path: *path, value, text: None });
        }
        for leaf in &leaves {
            self.push_leaf(leaf);
        }
        let form = whole.form.get(row);
        let of_paths = form.and_then(|form| {
            form::resolved(form, |column| paths.get(column).copied().map(At::Column))
        });
        self.form.push(of_paths.as_deref());
        let bytes = rest.map_or(0, str::len) + form.map_or(0, str::len) + 16 * leaves.len();
        let element = rows.element(row);
        self.end_row(Place { line: rows.line(row), element }, bytes);
        Ok(())
    }
}
