//! The unpacked stream: taken in pieces that are never larger than the buffer, and never past what was asked for.

use std::io::{BufRead, ErrorKind, Read};

/// tar's unit: headers are one block, content is padded to whole ones.
pub(super) const BLOCK: usize = 512;

/// What is wrong with an archive, or what kept us from reading on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Damage {
    /// The stream ends before what it announced.
    #[error("it ends in the middle of a member")]
    Truncated,
    /// It does not say how it is meant.
    #[error("{0}")]
    Malformed(&'static str),
    /// The compressed stream, or whatever lies below it.
    #[error(transparent)]
    Read(#[from] std::io::Error),
}

pub(super) struct Input<R> {
    inner: R,
    /// Bytes taken so far.
    pub(super) at: u64,
}

impl<R: BufRead> Input<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, at: 0 }
    }

    /// Hands over what lies next, at most `most` bytes, and takes it; nothing at the end of the stream.
    pub(super) fn piece<T>(
        &mut self,
        most: u64,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<(T, u64)>, Damage> {
        let ready = loop {
            match self.inner.fill_buf() {
                Ok(_) => break self.inner.fill_buf()?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        };
        let count = usize::try_from(most).map_or(ready.len(), |most| most.min(ready.len()));
        let Some(piece) = ready.get(..count).filter(|piece| !piece.is_empty()) else {
            return Ok(None);
        };
        let taken = take(piece);
        self.inner.consume(count);
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.at = self.at.saturating_add(count);
        Ok(Some((taken, count)))
    }

    /// Takes exactly `count` bytes, piece by piece.
    pub(super) fn each(
        &mut self,
        mut count: u64,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), Damage> {
        while count > 0 {
            let ((), taken) = self.piece(count, &mut take)?.ok_or(Damage::Truncated)?;
            count -= taken;
        }
        Ok(())
    }

    pub(super) fn skip(&mut self, count: u64) -> Result<(), Damage> {
        self.each(count, |_| {})
    }

    pub(super) fn byte(&mut self) -> Result<u8, Damage> {
        let first = self.piece(1, |piece| piece.first().copied())?;
        first.and_then(|(byte, _)| byte).ok_or(Damage::Truncated)
    }

    /// Takes a whole block; `false` when the stream ends right here.
    pub(super) fn block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, Damage> {
        let mut rest = block.as_mut_slice();
        let whole = rest.len();
        while !rest.is_empty() {
            let most = u64::try_from(rest.len()).unwrap_or_default();
            let Some((count, _)) = self.piece(most, |piece| fill(rest, piece))? else {
                return if rest.len() == whole {
                    Ok(false)
                } else {
                    Err(Damage::Truncated)
                };
            };
            rest = rest.get_mut(count..).unwrap_or_default();
        }
        Ok(true)
    }

    /// Reads to the end: only that proves the checksum behind the last byte.
    pub(super) fn drain(&mut self) -> Result<(), Damage> {
        while self.piece(u64::MAX, |_| ())?.is_some() {}
        Ok(())
    }
}

fn fill(into: &mut [u8], piece: &[u8]) -> usize {
    // A slice is a reader that never fails.
    (&mut &*piece).read(into).unwrap_or_default()
}
