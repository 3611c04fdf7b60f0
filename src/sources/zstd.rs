//! Zstandard of any number of frames (RFC 8878), skippable ones among them.
//!
//! Guarantee: how much is delivered before damage is reported depends on the archive alone, not on
//! how it is read. A frame's window is at most 128 MiB, as with the reference tool.

use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use super::error::InputError;
use super::raw::{Chunks, Outbox};

/// The first four bytes of a frame.
pub(super) const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The largest block of a frame: one step never decodes more.
const BLOCK_BYTES: usize = 128 * 1024;

/// The header of a block.
const BLOCK_HEADER_BYTES: usize = 3;

/// The first bytes of a frame that a decoder asks for.
const START_BYTES: usize = 5;

pub(super) struct Zstd {
    input: Chunks,
    decoder: Decoder<'static>,
    /// How much the decoder asked for.
    wanted_bytes: usize,
    in_frame: bool,
    /// Whether the last step may have left decoded bytes in the decoder.
    more_inside: bool,
    ended: bool,
    out: Outbox,
}

impl Zstd {
    pub(super) fn new(input: Chunks) -> Result<Self, InputError> {
        let decoder = Decoder::new().map_err(|error| InputError::Unreadable {
            input: input.raw().name().to_owned(),
            detail: error.to_string(),
        })?;
        Ok(Self {
            input,
            decoder,
            wanted_bytes: START_BYTES,
            in_frame: false,
            more_inside: false,
            ended: false,
            out: Outbox::new(BLOCK_BYTES),
        })
    }

    pub(super) fn input(&self) -> &Chunks {
        &self.input
    }

    /// Reads some decoded bytes; 0 is the end.
    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<usize, InputError> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(taken) = self.out.take(out) {
                return taken;
            }
            if self.ended {
                return Ok(0);
            }
            if let Err(error) = self.step() {
                self.out.filled(0, Some(error));
            }
        }
    }

    /// Decodes at most one block, and without the header of the next, which the decoder asks for
    /// along with it: the decoder drops what it decoded in a call that fails, so no call may
    /// contain a good block and something bad.
    fn step(&mut self) -> Result<(), InputError> {
        let step_bytes = match self.wanted_bytes {
            wanted @ 0..=BLOCK_HEADER_BYTES => wanted.max(1),
            wanted => wanted - BLOCK_HEADER_BYTES,
        };
        let available = self.input.at_least(step_bytes)?;
        if available.is_empty() && !self.more_inside {
            if self.in_frame {
                return Err(self.input.damaged("the archive is truncated"));
            }
            self.ended = true;
            return Ok(());
        }
        let len = available.len().min(step_bytes);
        let mut source = InBuffer::around(&available[..len]);
        let mut target = OutBuffer::around(self.out.space());
        let result = self.decoder.run(&mut source, &mut target);
        let (taken, decoded) = (source.pos(), target.pos());
        let wanted = result.map_err(|error| self.corrupt(&error.to_string()))?;
        self.input.consume(taken);
        self.out.filled(decoded, None);
        self.more_inside = decoded == BLOCK_BYTES;
        self.in_frame = wanted != 0;
        self.wanted_bytes = if self.in_frame { wanted } else { START_BYTES };
        Ok(())
    }

    fn corrupt(&self, detail: &str) -> InputError {
        if detail.contains("too much memory") {
            return self.input.damaged(
                "a window larger than 128 MiB is not read; compress it with --long=27, or without \
                 --long",
            );
        }
        self.input.damaged(detail)
    }
}
