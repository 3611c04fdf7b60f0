//! A stream of JSON documents is cut into the values that records are made of.
//!
//! What is looked for is a [`Shape`]: objects and arrays that are gone into, and values that are
//! taken whole. Guarantees: what is cut depends on the bytes alone, however they come; a value is
//! taken where its brackets and quotes end, and whoever reads it judges it; every byte is white
//! space, part of a value, of what joins values, or of a document that is broken. State: the
//! objects that are open with what stands in them, and the value that is being taken.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use memchr::memchr;

use super::taking::{Taking, What};
use super::{Element, HELD_BYTES_MAX, Place, json, too_long};
use crate::model::ledger::DEAD_LETTER_BYTES_MAX;
use crate::sources::intake::RECORD_BYTES_MAX;

/// The kind of an element that is a document as a whole: all that stands in it, in `around`.
pub(super) const WHOLE: u8 = u8::MAX;
/// What is expected where an object is.
const OBJECT: &str = "an object";
/// A longer key is none.
const KEY_BYTES_MAX: usize = 4 << 10;

/// What is made of a value.
#[derive(Debug)]
pub(super) enum Shape {
    /// A record of this kind is made of it.
    Record(u8),
    /// An object that is gone into.
    Object(&'static Level),
    /// An array whose elements have a shape.
    Each(&'static Shape),
    /// The same; an array of anything but objects is a record of this kind.
    EachOrOne(&'static Shape, u8),
}

/// An object that is gone into. What stands in it under other keys is kept for its records.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) keys: &'static [(&'static str, Shape)],
    pub(super) awaits: Awaits,
}

/// What the records in an object wait for.
#[derive(Debug)]
pub(super) enum Awaits {
    /// Until these keys have come, or its end.
    Keys(&'static [&'static str]),
    /// Until its end.
    End,
}

/// What stands around records in an object.
#[derive(Debug, Default)]
pub(super) struct Context {
    /// Values as they are written, in their order.
    members: Vec<(String, String)>,
    /// The keys that were gone into.
    entered: Vec<&'static str>,
    made: OnceLock<Result<String, String>>,
}

impl Context {
    /// The first value under a key.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let found = self.members.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str())
    }

    /// Whether what stands under a key was gone into.
    pub(super) fn entered(&self, key: &str) -> bool {
        self.entered.contains(&key)
    }

    fn is_empty(&self) -> bool {
        self.members.is_empty() && self.entered.is_empty()
    }

    /// All that is written in it.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// All of it, as a record of it would be.
    pub(super) fn text(&self) -> Vec<u8> {
        let mut text = json::Object::default();
        for (key, value) in &self.members {
            text.add(key, value);
        }
        text.end().into_bytes()
    }

    /// What its records say of it, made once.
    pub(super) fn made(
        &self,
        make: impl FnOnce(&Self) -> Result<String, String>,
    ) -> Result<&str, super::Fault> {
        let made = self.made.get_or_init(|| make(self));
        made.as_deref().map_err(|reason| super::Fault::new(reason.clone()))
    }
}

#[derive(Debug)]
enum Frame {
    Array(&'static Shape),
    Object(Box<Open>),
}

/// An object that has not ended.
#[derive(Debug)]
struct Open {
    level: &'static Level,
    is_document: bool,
    start: Place,
    context: Context,
    /// How long the members are, and those that no element has been given yet.
    bytes: usize,
    shared: usize,
    /// What its records are given, once it has come.
    ready: Option<Arc<Context>>,
    held: Vec<Element>,
    /// Whether the last key that was gone into was so for the first time.
    entered_first: bool,
    /// Whether it was gone into, and the first key that leads nowhere though it may hold records,
    /// with the beginning of what stands there.
    entered: bool,
    astray: Option<(String, Vec<u8>)>,
}

/// What comes next.
#[derive(Debug)]
enum State {
    /// A document.
    Between,
    /// A value; the end of the array, if it is the first.
    Value(&'static Shape, bool),
    /// The first element of an array that may be a record itself, from its bracket on.
    First(&'static Shape, u8, Place, Vec<u8>),
    /// A key; the end of the object, if it is the first.
    Key(bool),
    /// The rest of a key; whether its next byte is escaped.
    InKey(Vec<u8>, bool),
    /// The colon behind a key.
    Colon(String),
    /// The value under a key that is not gone into.
    Member(String),
    /// What stands behind a value.
    Comma,
    /// The rest of a value.
    Taking(Taking),
    /// What follows something that is broken; whether the next byte begins a line.
    Skipping(Skipped, bool),
}

/// What is broken, and what follows it.
#[derive(Debug)]
struct Skipped {
    place: Place,
    reason: String,
    text: Vec<u8>,
    /// Whether it goes on with the next line, whatever that begins with.
    one_line: bool,
}

/// Cuts a stream of documents.
#[derive(Debug)]
pub(super) struct Cutter {
    document: &'static Shape,
    /// Whether each document is a line.
    by_line: bool,
    place: Place,
    frames: Vec<Frame>,
    state: State,
    ready: VecDeque<Element>,
    held_bytes: usize,
    /// The line of the last element, and how many it had.
    numbered: (u64, u32),
}

impl Cutter {
    pub(super) fn new(document: &'static Shape, by_line: bool) -> Self {
        Self {
            document,
            by_line,
            place: Place::START,
            frames: Vec::new(),
            state: State::Between,
            ready: VecDeque::new(),
            held_bytes: 0,
            numbered: (0, 0),
        }
    }

    /// The next element that is whole.
    pub(super) fn next(&mut self) -> Option<Element> {
        self.ready.pop_front()
    }

    /// The line in which the document begins that has not ended, if one has not.
    pub(super) fn unfinished(&self) -> Option<u64> {
        let start = self.frames.iter().find_map(|frame| match frame {
            Frame::Object(object) => Some(object.start.line),
            Frame::Array(_) => None,
        });
        let is_open = !matches!(self.state, State::Between);
        start.or_else(|| is_open.then_some(self.place.line))
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some(byte) = bytes.first() {
            let (used, ended) = match &mut self.state {
                State::Taking(taking) => taking.take(bytes, self.by_line),
                State::Skipping(..) => (self.skip(bytes), Ok(false)),
                _ => (self.step(*byte), Ok(false)),
            };
            self.place = self.place.behind(&bytes[..used]);
            bytes = &bytes[used..];
            match ended {
                Ok(false) => {}
                Ok(true) => self.taken(),
                Err(reason) => self.fail(reason),
            }
        }
    }

    /// Says that nothing more comes.
    pub(super) fn finish(&mut self) {
        if matches!(&self.state, State::Taking(taking) if taking.is_bare()) {
            self.taken();
        }
        if !matches!(self.state, State::Between | State::Skipping(..)) {
            self.fail("the document ends before it is complete");
        }
        self.resume();
    }

    /// Takes a byte that is no part of a value; how many bytes that was.
    fn step(&mut self, byte: u8) -> usize {
        if let (State::First(_, _, _, before), b' ' | b'\t' | b'\r' | b'\n') =
            (&mut self.state, byte)
            && before.len() < KEY_BYTES_MAX
        {
            before.push(byte);
        }
        if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') && !matches!(self.state, State::InKey(..)) {
            let is_open = !matches!(self.state, State::Between);
            if byte == b'\n' && self.by_line && is_open {
                self.fail("the line ends before the document is complete");
                return 0;
            }
            return 1;
        }
        match std::mem::replace(&mut self.state, State::Comma) {
            // Documents may come in an array, too.
            State::Between if byte == b'[' => {
                self.frames.push(Frame::Array(self.document));
                self.state = State::Value(self.document, true);
            }
            State::Between if byte == b'{' => return self.value(self.document, byte),
            State::Between => {
                self.state = State::Between;
                return self.unexpected("a document, which begins with `{`");
            }
            State::Value(_, true) if byte == b']' => self.close(),
            State::Value(shape, _) => return self.value(shape, byte),
            State::First(shape, kind, start, before) => {
                if matches!(byte, b'{' | b']') {
                    self.frames.push(Frame::Array(shape));
                    self.state = State::Value(shape, true);
                } else {
                    let mut taking = Taking::new(What::Record(kind), start);
                    // White space behind a bracket ends nothing.
                    let _ = taking.take(&before, false);
                    self.state = State::Taking(taking);
                }
                return 0;
            }
            State::Key(true) if byte == b'}' => self.close(),
            State::Key(_) if byte == b'"' => self.state = State::InKey(vec![byte], false),
            State::Key(true) => return self.unexpected("a key or `}`"),
            State::Key(false) => return self.unexpected("a key"),
            State::InKey(mut key, is_escaped) => {
                key.push(byte);
                match byte {
                    b'"' if !is_escaped => match serde_json::from_slice(&key) {
                        Ok(key) => self.state = State::Colon(key),
                        Err(_) => return self.unexpected("a key"),
                    },
                    b'\n' => return self.unexpected("the end of the key"),
                    _ if key.len() > KEY_BYTES_MAX => return self.unexpected("a shorter key"),
                    _ => self.state = State::InKey(key, byte == b'\\' && !is_escaped),
                }
            }
            State::Colon(key) if byte == b':' => self.enter(key),
            State::Colon(_) => return self.unexpected("`:`"),
            State::Member(key) => return self.begin(What::Member(key), byte),
            State::Comma => match (self.frames.last(), byte) {
                (Some(Frame::Array(shape)), b',') => self.state = State::Value(shape, false),
                (Some(Frame::Object(_)), b',') => self.state = State::Key(false),
                (Some(Frame::Array(_)), b']') | (Some(Frame::Object(_)), b'}') => self.close(),
                (Some(Frame::Array(_)), _) => return self.unexpected("`,` or `]`"),
                _ => return self.unexpected("`,` or `}`"),
            },
            State::Taking(_) | State::Skipping(..) => unreachable!("they take more than a byte"),
        }
        1
    }

    /// Says what the value under a key is.
    fn enter(&mut self, key: String) {
        let Some(Frame::Object(object)) = self.frames.last_mut() else { return };
        object.entered |= object.level.keys.iter().any(|(known, _)| *known == key);
        self.state = match object.level.keys.iter().find(|(known, _)| *known == key) {
            None => State::Member(key),
            Some((known, shape)) => {
                object.entered_first = !object.context.entered(known);
                object.context.entered.extend(object.entered_first.then_some(*known));
                State::Value(shape, false)
            }
        };
    }

    /// Begins a value of a shape.
    fn value(&mut self, shape: &'static Shape, byte: u8) -> usize {
        match (shape, byte) {
            (Shape::Object(level), b'{') => {
                let mut object = Open {
                    level,
                    is_document: std::ptr::eq(shape, self.document),
                    start: self.place,
                    context: Context::default(),
                    bytes: 0,
                    shared: 0,
                    ready: None,
                    held: Vec::new(),
                    entered_first: false,
                    entered: false,
                    astray: None,
                };
                object.make_ready(false);
                self.frames.push(Frame::Object(Box::new(object)));
                self.state = State::Key(true);
            }
            (Shape::Each(each), b'[') => {
                self.frames.push(Frame::Array(each));
                self.state = State::Value(each, true);
            }
            (Shape::EachOrOne(each, kind), b'[') => {
                self.state = State::First(each, *kind, self.place, vec![byte]);
            }
            (Shape::Record(kind), _) => return self.begin(What::Record(*kind), byte),
            (Shape::Object(_), _) => return self.begin(What::Misfit(OBJECT), byte),
            _ => return self.begin(What::Misfit("an array"), byte),
        }
        1
    }

    /// Begins to take a value.
    fn begin(&mut self, what: What, byte: u8) -> usize {
        if !matches!(byte, b'"' | b'{' | b'[' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') {
            return self.unexpected("a value");
        }
        self.state = State::Taking(Taking::new(what, self.place));
        0
    }

    /// Takes in a value that has ended.
    fn taken(&mut self) {
        let State::Taking(taking) = std::mem::replace(&mut self.state, State::Comma) else {
            return;
        };
        let Taking { what, start, bytes, length, .. } = taking;
        let is_null = bytes == b"null";
        let text = match length > RECORD_BYTES_MAX as u64 {
            true => Err((too_long(length), bytes)),
            false => Ok(bytes),
        };
        match (what, text) {
            (What::Record(kind), text) => self.give(start, kind, text),
            (What::Misfit(wanted), _) if is_null => self.is_nothing(wanted),
            (What::Misfit(wanted), Ok(bytes)) => {
                self.give(start, WHOLE, Err((format!("expected {wanted}"), bytes)));
            }
            (What::Misfit(_), text) => self.give(start, WHOLE, text),
            (What::Member(key), text) => self.add(key, start, text),
        }
        if self.held_bytes > HELD_BYTES_MAX {
            let reason = format!("more than {HELD_BYTES_MAX} bytes of records wait for its end");
            self.fail(&reason);
        }
    }

    /// Takes in null in the place of something: an empty array, or an object that is not there.
    fn is_nothing(&mut self, wanted: &str) {
        if let Some(Frame::Object(object)) = self.frames.last_mut()
            && object.entered_first
            && wanted == OBJECT
        {
            object.context.entered.pop();
        }
    }

    /// Adds a member to the object that is open.
    fn add(&mut self, key: String, start: Place, text: Result<Vec<u8>, (String, Vec<u8>)>) {
        let value = text.and_then(|bytes| match json::check(&bytes) {
            Ok(()) => Ok(String::from_utf8(bytes).unwrap_or_default()),
            Err(fault) => Err((fault.reason, bytes)),
        });
        let Some(Frame::Object(object)) = self.frames.last_mut() else { return };
        let value = match value {
            Ok(value) => value,
            Err((reason, text)) => return self.fail_at(start, &format!("`{key}`: {reason}"), text),
        };
        if object.leads_astray(&key, &value) {
            object.astray.get_or_insert_with(|| {
                let length = value.floor_char_boundary(DEAD_LETTER_BYTES_MAX);
                (key.clone(), value.as_bytes()[..length].to_vec())
            });
        }
        // Of what comes once the records have what they wait for, only a document is made.
        if object.ready.is_some() && !object.is_document {
            return;
        }
        object.bytes += size_of::<(String, String)>() + key.len() + value.len();
        let is_awaited = match &object.level.awaits {
            Awaits::Keys(keys) => keys.contains(&key.as_str()),
            Awaits::End => false,
        };
        object.context.members.push((key, value));
        if object.bytes > RECORD_BYTES_MAX {
            let reason = format!("what stands around records is {}", too_long(object.bytes as u64));
            return self.fail(&reason);
        }
        if is_awaited && object.make_ready(false) {
            let held = std::mem::take(&mut object.held);
            self.pass_on(held);
        }
    }

    /// Ends the array or object that is open.
    fn close(&mut self) {
        if let Some(Frame::Object(object)) = self.frames.last_mut()
            && object.make_ready(true)
        {
            let held = std::mem::take(&mut object.held);
            self.pass_on(held);
        }
        if let Some(Frame::Object(object)) = self.frames.pop() {
            self.closed(*object);
        }
        self.state = if self.frames.is_empty() { State::Between } else { State::Comma };
    }

    /// Says of an object that has ended what its records do not.
    fn closed(&mut self, object: Open) {
        if object.is_document {
            let whole = match object.ready {
                Some(ready) if object.context.is_empty() => ready,
                _ => Arc::new(object.context),
            };
            // Places rise: records may have come before.
            let place = if whole.entered.is_empty() { object.start } else { self.place };
            // Of one whose records have come there is nothing more to say.
            let number = if whole.entered.is_empty() { self.number(place.line) } else { 0 };
            let text = Ok(Vec::new());
            let around = vec![whole];
            self.ready.push_back(Element { place, number, kind: WHOLE, text, around, shared: 0 });
        } else if let Some((key, text)) = object.astray.filter(|_| !object.entered) {
            let known: Vec<_> = object.level.keys.iter().map(|(key, _)| *key).collect();
            let reason = format!("`{key}` is not read: expected one of {known:?}");
            self.give(self.place, WHOLE, Err((reason, text)));
        }
    }

    /// Gives an element to whoever waits for it.
    fn give(&mut self, place: Place, kind: u8, text: Result<Vec<u8>, (String, Vec<u8>)>) {
        let (number, around) = (self.number(place.line), Vec::new());
        let element = Element { place, number, kind, text, around, shared: 0 };
        self.held_bytes += element.bytes();
        self.pass_on(vec![element]);
    }

    /// Gives held elements what stands around them, as far as that has come.
    fn pass_on(&mut self, mut elements: Vec<Element>) {
        for frame in self.frames.iter_mut().rev() {
            let Frame::Object(object) = frame else { continue };
            let Some(ready) = &object.ready else { return object.held.append(&mut elements) };
            elements.iter_mut().for_each(|element| element.around.push(Arc::clone(ready)));
            if let Some(first) = elements.first_mut() {
                let shared = std::mem::take(&mut object.shared);
                first.shared += shared;
                self.held_bytes += shared;
            }
        }
        self.held_bytes -= elements.iter().map(Element::bytes).sum::<usize>();
        self.ready.extend(elements);
    }

    fn number(&mut self, line: u64) -> u32 {
        let before = if self.numbered.0 == line { self.numbered.1 } else { 0 };
        self.numbered = (line, before.saturating_add(1));
        self.numbered.1
    }

    fn unexpected(&mut self, wanted: &str) -> usize {
        self.fail(&format!("expected {wanted}"));
        0
    }

    fn fail(&mut self, reason: &str) {
        self.fail_at(self.place, reason, Vec::new());
    }

    /// Gives the document up: nothing of it is waited for any more.
    fn fail_at(&mut self, place: Place, reason: &str, text: Vec<u8>) {
        let mut text = match std::mem::replace(&mut self.state, State::Between) {
            State::Taking(taking) => taking.bytes,
            _ => text,
        };
        text.truncate(DEAD_LETTER_BYTES_MAX);
        let one_line = self.by_line || self.frames.is_empty();
        for frame in std::mem::take(&mut self.frames) {
            let Frame::Object(object) = frame else { continue };
            self.ready.extend(object.held.into_iter().map(|element| {
                let Place { line, column } = place;
                let why = format!("its document is broken at {line}:{column}: {reason}");
                Element { text: element.text.and_then(|text| Err((why, text))), ..element }
            }));
        }
        self.held_bytes = 0;
        let skipped = Skipped { place, reason: reason.to_owned(), text, one_line };
        self.state = State::Skipping(skipped, self.place.column == 1);
    }

    /// Skips to where a document may begin; how many bytes that is.
    fn skip(&mut self, bytes: &[u8]) -> usize {
        let State::Skipping(skipped, at_start) = &mut self.state else { return 0 };
        if *at_start && !skipped.one_line && matches!(bytes[0], b'{' | b'[') {
            self.resume();
            return 0;
        }
        let newline = memchr(b'\n', bytes);
        let used = newline.map_or(bytes.len(), |at| at + 1);
        let room = DEAD_LETTER_BYTES_MAX.saturating_sub(skipped.text.len());
        skipped.text.extend_from_slice(&bytes[..newline.unwrap_or(used).min(room)]);
        *at_start = newline.is_some();
        if skipped.one_line && newline.is_some() {
            self.resume();
        }
        used
    }

    /// Goes on behind something that was broken.
    fn resume(&mut self) {
        if let State::Skipping(Skipped { place, reason, text, .. }, _) =
            std::mem::replace(&mut self.state, State::Between)
        {
            let (text, around) = (Err((reason, text)), Vec::new());
            let (number, kind) = (0, WHOLE);
            self.ready.push_back(Element { place, number, kind, text, around, shared: 0 });
        }
    }
}

impl Open {
    /// Whether a member may hold records that nobody looks for.
    fn leads_astray(&self, key: &str, value: &str) -> bool {
        match self.level.awaits {
            // Where records are given nothing, nothing else is read.
            Awaits::Keys([]) => true,
            Awaits::Keys(keys) => !keys.contains(&key) && value.starts_with(['{', '[']),
            Awaits::End => value.starts_with(['{', '[']),
        }
    }

    /// Fixes what its records are given, if it has come or nothing more comes; whether it just has.
    fn make_ready(&mut self, at_end: bool) -> bool {
        let has_come = match &self.level.awaits {
            Awaits::Keys(keys) => keys.iter().all(|key| self.context.get(key).is_some()),
            Awaits::End => false,
        };
        let is_now = self.ready.is_none() && (has_come || at_end);
        if is_now {
            self.ready = Some(Arc::new(std::mem::take(&mut self.context)));
            self.shared = self.bytes;
        }
        is_now
    }
}

impl Element {
    /// About as much memory as it takes.
    fn bytes(&self) -> usize {
        let text = self.text.as_ref().map_or_else(|(_, text)| text.len(), Vec::len);
        size_of::<Self>() + text + self.shared
    }
}
