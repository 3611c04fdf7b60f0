//! Gzip of any number of members (RFC 1952).
//!
//! Guarantee: how much is delivered before damage is reported depends on the archive alone, not on
//! how it is read. The bytes of a member are delivered before its checksum, which comes last, can
//! be compared: after a wrong checksum, what came from that member may be wrong as well.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::error::InputError;
use super::raw::{Chunks, Outbox};

/// The first two bytes of a member.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The farthest that deflate refers back, which is also how much its decoder holds back at most.
const WINDOW_BYTES: usize = 32 * 1024;

enum Stage {
    Between,
    Body,
    Trailer,
    End,
}

pub(super) struct Gzip {
    input: Chunks,
    inflate: Decompress,
    crc: Crc,
    stage: Stage,
    members: u64,
    out: Outbox,
}

impl Gzip {
    pub(super) fn new(input: Chunks) -> Self {
        Self {
            input,
            inflate: Decompress::new(false),
            crc: Crc::new(),
            stage: Stage::Between,
            members: 0,
            out: Outbox::new(WINDOW_BYTES),
        }
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
            let step = match self.stage {
                Stage::Between => self.header(),
                Stage::Body => self.body(),
                Stage::Trailer => self.trailer(),
                Stage::End => return Ok(0),
            };
            if let Err(error) = step {
                self.out.filled(0, Some(error));
            }
        }
    }

    /// Reads the header of the next member, or the padding that ends the archive.
    fn header(&mut self) -> Result<(), InputError> {
        if self.input.available()?.is_empty() {
            self.stage = Stage::End;
            return Ok(());
        }
        if self.members > 0 && self.input.available()?[0] == 0 {
            return self.padding();
        }
        for magic in MAGIC {
            let damaged = self.input.damaged("neither a gzip member nor the end");
            if self.must()? != magic {
                return Err(damaged);
            }
        }
        if self.must()? != 8 {
            return Err(self.input.damaged("an unknown method of compression"));
        }
        let flags = self.must()?;
        if flags & 0b1110_0000 != 0 {
            return Err(self.input.damaged("a gzip header with unknown flags"));
        }
        const TIME_AND_SYSTEM_BYTES: usize = 6;
        self.pass(TIME_AND_SYSTEM_BYTES)?;
        if flags & 0b0000_0100 != 0 {
            let extra_bytes = u16::from_le_bytes([self.must()?, self.must()?]);
            self.pass(usize::from(extra_bytes))?;
        }
        for flag in [0b0000_1000, 0b0001_0000] {
            while flags & flag != 0 && self.must()? != 0 {}
        }
        if flags & 0b0000_0010 != 0 {
            self.pass(2)?;
        }
        self.members += 1;
        self.inflate.reset(false);
        self.crc.reset();
        self.stage = Stage::Body;
        Ok(())
    }

    /// Zeros after the last member are what tapes and block devices leave.
    fn padding(&mut self) -> Result<(), InputError> {
        while let Some(byte) = self.input.byte()? {
            if byte != 0 {
                return Err(self.input.damaged("bytes after the end of the archive"));
            }
        }
        self.stage = Stage::End;
        Ok(())
    }

    /// Decodes as much as the window holds.
    fn body(&mut self) -> Result<(), InputError> {
        let (in_before, out_before) = (self.inflate.total_in(), self.inflate.total_out());
        let input = self.input.available()?;
        let input_ended = input.is_empty();
        // To the next multiple of the window: so the decoder holds nothing back, and what it
        // decoded before an error is all here.
        let space_bytes = WINDOW_BYTES - (out_before % WINDOW_BYTES as u64) as usize;
        let space = &mut self.out.space()[..space_bytes];
        let result = self.inflate.decompress(input, space, FlushDecompress::None);
        self.input.consume((self.inflate.total_in() - in_before) as usize);
        let decoded = (self.inflate.total_out() - out_before) as usize;
        let error = match result {
            Ok(Status::StreamEnd) => {
                self.stage = Stage::Trailer;
                None
            }
            Ok(_) if input_ended && decoded == 0 => Some(self.truncated()),
            Ok(_) => None,
            Err(_) => Some(self.input.damaged("the compressed data is corrupt")),
        };
        self.crc.update(self.out.filled(decoded, error));
        Ok(())
    }

    fn trailer(&mut self) -> Result<(), InputError> {
        let mut trailer = [0; 8];
        for byte in &mut trailer {
            *byte = self.must()?;
        }
        let [sum, amount] = [&trailer[..4], &trailer[4..]]
            .map(|half| u32::from_le_bytes(half.try_into().expect("half of eight bytes")));
        if sum != self.crc.sum() || amount != self.crc.amount() {
            return Err(self.input.damaged("the checksum of the member differs"));
        }
        self.stage = Stage::Between;
        Ok(())
    }

    fn must(&mut self) -> Result<u8, InputError> {
        self.input.byte()?.ok_or_else(|| self.truncated())
    }

    fn pass(&mut self, count: usize) -> Result<(), InputError> {
        for _ in 0..count {
            self.must()?;
        }
        Ok(())
    }

    fn truncated(&self) -> InputError {
        self.input.damaged("the archive is truncated")
    }
}
