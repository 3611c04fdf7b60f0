//! What operators remember, saved at a logical time, and started from.
//!
//! A snapshot is asked for ahead of its time and taken when the input's frontier reaches it, while
//! what is later already waits: nothing stops for it but the worker that encodes it. Each worker
//! saves what it has, item by item; together they are the same for any number of workers.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::marker::PhantomData;
use std::rc::Rc;

use postcard::ser_flavors::Flavor;
use serde::Serialize;

use crate::machine::Data;

/// What a worker's part of an operator remembered at a logical time: keys, each with bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot<K> {
    at: i64,
    /// One after the other: how long the rest is, in four bytes, the key, the state.
    items: Vec<u8>,
    of: PhantomData<fn() -> K>,
}

const LENGTH_BYTES: usize = size_of::<u32>();
const ITEM_BYTES_USUAL: usize = 80;

/// Encodes values behind what is there, in whole slices.
struct Behind<'b>(&'b mut Vec<u8>);

impl Flavor for Behind<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

impl<K: Data> Snapshot<K> {
    pub(crate) fn new(at: i64) -> Self {
        Self::from_bytes(at, Vec::new())
    }

    /// A snapshot from its bytes.
    pub fn from_bytes(at: i64, items: Vec<u8>) -> Self {
        Self { at, items, of: PhantomData }
    }

    /// Everything before this logical time is in it, nothing from there on.
    pub fn at(&self) -> i64 {
        self.at
    }

    /// All items.
    pub fn bytes(&self) -> &[u8] {
        &self.items
    }

    /// The same, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.items
    }

    /// Makes room for what so many items usually take, so that it is not made again and again.
    pub(crate) fn reserve(&mut self, items: usize) {
        self.items.reserve(items * ITEM_BYTES_USUAL);
    }

    pub(crate) fn push(&mut self, key: &K, state: &impl Serialize) {
        let start = self.items.len();
        self.items.extend_from_slice(&[0; LENGTH_BYTES]);
        postcard::serialize_with_flavor(&(key, state), Behind(&mut self.items))
            .expect("plain values encode");
        let len = self.items.len() - start - LENGTH_BYTES;
        let len = u32::try_from(len).expect("what is remembered of a key is not that much");
        self.items[start..start + LENGTH_BYTES].copy_from_slice(&len.to_le_bytes());
    }

    /// How many keys there are, as far as the bytes are those of a snapshot.
    pub(crate) fn len(&self) -> usize {
        let mut rest = self.items.as_slice();
        std::iter::from_fn(move || {
            let (len, items) = rest.split_first_chunk()?;
            rest = items.get(u32::from_le_bytes(*len) as usize..)?;
            Some(())
        })
        .count()
    }

    /// The same under other keys, for whoever numbers them otherwise; without those that have none.
    ///
    /// # Errors
    ///
    /// If the bytes are not those of a snapshot.
    pub fn rekeyed(&self, key: impl Fn(K) -> Option<K>) -> Result<Self, postcard::Error> {
        let mut rekeyed = Self::new(self.at);
        for item in self.items() {
            let (old, state) = item?;
            if let Some(new) = key(old) {
                let key = postcard::to_stdvec(&new)?;
                let len = u32::try_from(key.len() + state.len());
                let len = len.map_err(|_| postcard::Error::SerializeBufferFull)?;
                rekeyed.items.extend_from_slice(&len.to_le_bytes());
                rekeyed.items.extend_from_slice(&key);
                rekeyed.items.extend_from_slice(state);
            }
        }
        Ok(rekeyed)
    }

    /// Each key with what was remembered of it.
    ///
    /// # Errors
    ///
    /// If the bytes are not those of a snapshot; nothing comes after that.
    pub fn items(&self) -> impl Iterator<Item = Result<(K, &[u8]), postcard::Error>> {
        let mut rest = self.items.as_slice();
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let item = first_item(rest);
            rest = item.as_ref().map_or(&[], |(.., rest)| *rest);
            Some(item.map(|(key, state, _)| (key, state)))
        })
    }
}

/// The key and the state of the first item, and what follows it.
fn first_item<K: Data>(items: &[u8]) -> Result<(K, &[u8], &[u8]), postcard::Error> {
    let ended = postcard::Error::DeserializeUnexpectedEnd;
    let (len, rest) = items.split_first_chunk().ok_or(ended.clone())?;
    let (item, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize).ok_or(ended)?;
    let (key, state) = postcard::take_from_bytes(item)?;
    Ok((key, state, rest))
}

/// Asks an operator for snapshots, from within the same worker.
#[derive(Debug)]
pub struct Snapshots<K> {
    shared: Rc<RefCell<Requests<K>>>,
}

#[derive(Debug)]
struct Requests<K> {
    wanted: BTreeSet<i64>,
    taken: VecDeque<Snapshot<K>>,
}

impl<K> Snapshots<K> {
    /// Nothing is requested yet.
    pub fn new() -> Self {
        let requests = Requests { wanted: BTreeSet::new(), taken: VecDeque::new() };
        Self { shared: Rc::new(RefCell::new(requests)) }
    }

    /// Wants a snapshot at a logical time, a multiple of the tick, that the input's frontier has
    /// not passed; each worker gives that of its own keys.
    pub fn request(&self, at: i64) {
        self.shared.borrow_mut().wanted.insert(at);
    }

    /// The next snapshot, once the frontier has reached what was requested. There is none if the
    /// input closes before that: time may have ended earlier.
    pub fn take(&self) -> Option<Snapshot<K>> {
        self.shared.borrow_mut().taken.pop_front()
    }

    /// The next that is wanted until then.
    pub(crate) fn next_wanted(&self, until: i64) -> Option<i64> {
        let mut shared = self.shared.borrow_mut();
        if shared.wanted.first().is_some_and(|first| *first <= until) {
            shared.wanted.pop_first()
        } else {
            None
        }
    }

    pub(crate) fn give(&self, snapshot: Snapshot<K>) {
        self.shared.borrow_mut().taken.push_back(snapshot);
    }
}

impl<K> Default for Snapshots<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> Clone for Snapshots<K> {
    fn clone(&self) -> Self {
        Self { shared: Rc::clone(&self.shared) }
    }
}
