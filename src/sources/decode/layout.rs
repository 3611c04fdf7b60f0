//! Where a source's records keep what is wanted of them: compiled once from the rule file.

use std::sync::Arc;

use smol_str::SmolStr;

use crate::rules::{
    Attribute, FieldPath, Format, Mapping, Paths, Source, TemplatePart, Text, TimeField, TimeForm,
    TimeUnit,
};

/// A key that something looks at, or an object on the way to one. Node 0 is the record.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    /// The keys beneath, with their nodes.
    pub(super) children: Vec<(SmolStr, usize)>,
    /// Which capture takes its value.
    pub(super) capture: Option<usize>,
    /// Whether it may not be repeated.
    pub(super) unique: bool,
}

/// Where a text comes from.
#[derive(Clone, Debug)]
pub(super) enum From {
    Capture(usize, SmolStr),
    Const(SmolStr),
    Template(Vec<Part>),
}

/// A part of a template.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Literal(SmolStr),
    Capture(usize),
}

/// Where a time comes from: capture, keys, form, and what messages call it.
#[derive(Clone, Debug)]
pub(super) struct TimeFrom {
    pub(super) capture: usize,
    pub(super) path: Vec<SmolStr>,
    pub(super) form: TimeForm,
    pub(super) name: SmolStr,
}

/// What fills a slot of the conditions.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fill {
    Capture(usize),
    /// A capture if that is a string; else what an attribute makes of it.
    Text(usize, Made),
    Made(Made),
}

/// What is made for a slot from more than a capture.
#[derive(Clone, Copy, Debug)]
pub(super) enum Made {
    /// The whole of `data`; a record without has the empty object.
    Data(usize),
    Id,
    Source,
    Type,
    Subject,
    Sequence,
    Missing,
}

/// How a line is taken apart.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// A JSON object.
    Json,
    /// The same, of a document, with the place it came from before it.
    Placed,
    /// A JSON object in which an array stands for its elements.
    Exploded(Exploded),
    /// Fields with this between them, under a header.
    Columns(u8),
    /// A pattern; its groups, with the captures they go to.
    Groups(regex::Regex, Vec<(usize, usize)>),
}

/// An array that is exploded.
#[derive(Clone, Debug)]
pub(super) struct Exploded {
    pub(super) path: Vec<SmolStr>,
    /// What messages call it.
    pub(super) name: SmolStr,
    /// The node of the array, and so of each element.
    pub(super) node: usize,
    /// That node and all beneath it, and their captures.
    pub(super) nodes: Vec<usize>,
    pub(super) captures: Vec<usize>,
}

/// The whole layout.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) nodes: Arc<[Node]>,
    pub(super) captures: usize,
    pub(super) time: TimeFrom,
    pub(super) arrival: Option<TimeFrom>,
    pub(super) subject: From,
    pub(super) source: From,
    pub(super) type_: From,
    pub(super) sequence: Option<From>,
    pub(super) id: Option<From>,
    pub(super) slots: Vec<Fill>,
    /// The slots that are not always captured as they are.
    pub(super) made: Vec<(usize, Made)>,
    /// CloudEvents: an attribute is a string, and `id` is required.
    pub(super) strict: bool,
    /// Every value is text, and to the mapping an empty one is none.
    pub(super) flat: bool,
    /// Where the conditions' `data` stands; nowhere if it is the record itself.
    pub(super) data_key: Option<&'static str>,
    pub(super) form: Form,
}

impl Layout {
    pub(super) fn new(source: &Source, paths: &Paths) -> Self {
        match &source.format {
            Format::CloudEvents => Self::cloudevents(paths),
            Format::Json { mapping, explode } => {
                let mut layout = Self::mapped(mapping, explode.as_ref(), paths);
                if let Some(path) = explode {
                    layout.form = Form::Exploded(Exploded::new(path, &layout.nodes));
                }
                layout
            }
            Format::Document { mapping, .. } => {
                Self { form: Form::Placed, ..Self::mapped(mapping, None, paths) }
            }
            Format::Csv(csv) => {
                let layout = Self::mapped(&csv.mapping, None, paths);
                Self { form: Form::Columns(csv.delimiter), flat: true, ..layout }
            }
            Format::Regex(regex) => {
                let layout = Self::mapped(&regex.mapping, None, paths);
                let groups = (0..).zip(regex.pattern.capture_names());
                let groups = groups.filter_map(|(group, name)| Some((group, layout.field(name?)?)));
                let form = Form::Groups(regex.pattern.clone(), groups.collect());
                Self { form, flat: true, ..layout }
            }
        }
    }

    fn cloudevents(paths: &Paths) -> Self {
        let mut tree = Tree::new();
        let time = |tree: &mut Tree, name: &'static str| TimeFrom {
            capture: tree.attribute(&[name.into()]),
            path: vec![name.into()],
            form: TimeForm::Unit(TimeUnit::Rfc3339),
            name: name.into(),
        };
        let text = |tree: &mut Tree, name: &'static str| {
            From::Capture(tree.attribute(&[name.into()]), name.into())
        };
        let mut layout = Self {
            time: time(&mut tree, "time"),
            arrival: Some(time(&mut tree, "recordedtime")),
            subject: text(&mut tree, "subject"),
            source: text(&mut tree, "source"),
            type_: text(&mut tree, "type"),
            sequence: Some(text(&mut tree, "sequence")),
            id: Some(text(&mut tree, "id")),
            slots: Vec::new(),
            made: Vec::new(),
            strict: true,
            flat: false,
            data_key: Some("data"),
            form: Form::Json,
            nodes: Arc::default(),
            captures: 0,
        };
        tree.attribute(&["data".into()]);
        layout.fill_slots(paths, &mut tree);
        layout
    }

    fn mapped(mapping: &Mapping, explode: Option<&FieldPath>, paths: &Paths) -> Self {
        let mut tree = Tree::new();
        if let Some(path) = explode {
            tree.unique(path.keys());
        }
        let mut layout = Self {
            time: tree.time(&mapping.time),
            arrival: mapping.arrival.as_ref().map(|field| tree.time(field)),
            subject: tree.text(&mapping.subject),
            source: tree.text(&mapping.source),
            type_: tree.text(&mapping.type_),
            sequence: mapping.sequence.as_ref().map(|text| tree.text(text)),
            id: mapping.id.as_ref().map(|text| tree.text(text)),
            slots: Vec::new(),
            made: Vec::new(),
            strict: false,
            flat: false,
            data_key: None,
            form: Form::Json,
            nodes: Arc::default(),
            captures: 0,
        };
        layout.fill_slots(paths, &mut tree);
        layout
    }

    /// The capture of a field of the record itself.
    pub(super) fn field(&self, name: &str) -> Option<usize> {
        let (_, node) = self.nodes[0].children.iter().find(|(known, _)| known == name)?;
        self.nodes[*node].capture
    }

    fn fill_slots(&mut self, paths: &Paths, tree: &mut Tree) {
        let text = |from: &From, made: Made| match from {
            From::Capture(capture, _) => Fill::Text(*capture, made),
            _ => Fill::Made(made),
        };
        for attribute in paths.as_slice() {
            let extension = |name: &'static str, tree: &mut Tree| match self.strict {
                true => Fill::Capture(tree.capture(&[name.into()])),
                false => Fill::Made(Made::Missing),
            };
            self.slots.push(match attribute {
                Attribute::Id => Fill::Made(Made::Id),
                Attribute::Source => text(&self.source, Made::Source),
                Attribute::Type => text(&self.type_, Made::Type),
                Attribute::Subject => Fill::Made(Made::Subject),
                Attribute::Sequence => Fill::Made(Made::Sequence),
                // No part of the record: the signal makes them.
                Attribute::Label(_) => Fill::Made(Made::Missing),
                Attribute::Severity => extension("severity", tree),
                Attribute::Traceparent => extension("traceparent", tree),
                Attribute::Data(keys) => {
                    let root = self.data_key.map(SmolStr::new_static);
                    let path: Vec<_> = root.into_iter().chain(keys.iter().cloned()).collect();
                    match keys.is_empty() {
                        true => Fill::Made(Made::Data(tree.capture(&path))),
                        false => Fill::Capture(tree.capture(&path)),
                    }
                }
            });
        }
        self.made = (0..)
            .zip(&self.slots)
            .filter_map(|(slot, fill)| match fill {
                Fill::Capture(_) => None,
                Fill::Text(_, made) | Fill::Made(made) => Some((slot, *made)),
            })
            .collect();
        self.nodes = std::mem::take(&mut tree.nodes).into();
        self.captures = tree.captures;
    }
}

impl Exploded {
    fn new(path: &FieldPath, nodes: &[Node]) -> Self {
        let child = |at: usize, key: &SmolStr| {
            let (_, node) = nodes[at].children.iter().find(|(known, _)| known == key)?;
            Some(*node)
        };
        let node = path.keys().iter().try_fold(0, child).expect("the array has a node");
        let mut beneath = vec![node];
        let mut next = 0;
        while let Some(at) = beneath.get(next) {
            beneath.extend(nodes[*at].children.iter().map(|(_, node)| *node));
            next += 1;
        }
        let captures = beneath.iter().filter_map(|node| nodes[*node].capture).collect();
        let (path, name) = (path.keys().to_vec(), dotted(path));
        Self { path, name, node, nodes: beneath, captures }
    }
}

/// The wanted keys as a tree, while it grows.
struct Tree {
    nodes: Vec<Node>,
    captures: usize,
}

impl Tree {
    fn new() -> Self {
        Self { nodes: vec![Node::default()], captures: 0 }
    }

    fn node(&mut self, path: &[SmolStr]) -> usize {
        path.iter().fold(0, |at, key| {
            let known = self.nodes[at].children.iter().find(|(known, _)| known == key);
            known.map(|(_, node)| *node).unwrap_or_else(|| {
                self.nodes.push(Node::default());
                let node = self.nodes.len() - 1;
                self.nodes[at].children.push((key.clone(), node));
                node
            })
        })
    }

    fn capture(&mut self, path: &[SmolStr]) -> usize {
        let node = self.node(path);
        *self.nodes[node].capture.get_or_insert_with(|| {
            self.captures += 1;
            self.captures - 1
        })
    }

    /// Says that something may not be repeated.
    fn unique(&mut self, path: &[SmolStr]) {
        let node = self.node(path);
        self.nodes[node].unique = true;
    }

    /// A capture of what may not be repeated.
    fn attribute(&mut self, path: &[SmolStr]) -> usize {
        self.unique(path);
        self.capture(path)
    }

    fn time(&mut self, field: &TimeField) -> TimeFrom {
        let (path, name) = (field.field.keys().to_vec(), dotted(&field.field));
        TimeFrom { capture: self.attribute(&path), path, form: field.form.clone(), name }
    }

    fn text(&mut self, text: &Text) -> From {
        match text {
            Text::Field(path) => From::Capture(self.attribute(path.keys()), dotted(path)),
            Text::Const(text) => From::Const(text.clone()),
            Text::Template(parts) => From::Template(
                parts
                    .iter()
                    .map(|part| match part {
                        TemplatePart::Literal(text) => Part::Literal(text.clone()),
                        TemplatePart::Field(path) => Part::Capture(self.attribute(path.keys())),
                    })
                    .collect(),
            ),
        }
    }
}

fn dotted(path: &FieldPath) -> SmolStr {
    path.keys().join(".").into()
}
