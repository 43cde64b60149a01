//! Extended headers (POSIX pax): records `LENGTH KEY=VALUE\n` in front of the member that they describe.
//!
//! vzdump's tar writes one before nearly every member, since `--xattrs` and `--acls` make it choose this format (pve-storage,
//! `PVE/Storage/Plugin.pm`, `COMMON_TAR_FLAGS`). The guest's root decides how long they are: extended attributes are copied
//! into them. So a header is read record by record, and only the values that are looked at are kept, up to a limit.

use std::io::BufRead;

use super::input::{Damage, Input};
use super::name::Name;
use super::number::{decimal, seconds};
use super::sparse::Areas;

/// The longest key that is looked at is `GNU.sparse.numblocks`; of a longer one only this much is taken.
const LONGEST_KEY: usize = 32;
/// A number, or a time with a fraction.
const LONGEST_NUMBER: usize = 64;
/// A map of data areas in a header (version 0.1 of the sparse format), enough for as many areas as are kept.
const LONGEST_MAP: usize = 48 << 10;

const NO_RECORD: Damage = Damage::Malformed("an extended header has a record that is none");
const NO_NUMBER: Damage =
    Damage::Malformed("an extended header has a number or a time that is none");

/// A name that may be given.
#[derive(Debug, Clone, Default)]
pub(super) struct Given {
    name: Name,
    set: bool,
}

impl Given {
    fn clear(&mut self) {
        self.name.clear();
        self.set = false;
    }

    pub(super) fn get(&self) -> Option<&Name> {
        self.set.then_some(&self.name)
    }

    pub(super) fn take_from<R: BufRead>(
        &mut self,
        input: &mut Input<R>,
        length: u64,
    ) -> Result<(), Damage> {
        self.clear();
        self.set = true;
        input.each(length, |piece| self.name.push(piece))
    }

    /// The NULs that end a name are not of it.
    pub(super) fn trim(&mut self) {
        while self.name.bytes.last() == Some(&0) {
            self.name.bytes.pop();
        }
    }

    pub(super) fn forget(&mut self) {
        self.set = false;
    }
}

/// What extended headers say of the next member.
#[derive(Debug, Clone, Default)]
pub(super) struct Extended {
    path: Given,
    /// The real name of a sparse file, whose `path` is a stand-in for those who do not know the format.
    sparse_name: Given,
    /// Bytes that the member takes up in the archive.
    pub(super) size: Option<u64>,
    /// Bytes of the file, holes and all.
    pub(super) real_size: Option<u64>,
    pub(super) mtime_s: Option<i64>,
    /// Whether the map of the data areas stands in front of the content (version 1.0 of the sparse format).
    pub(super) map_in_data: bool,
    pub(super) areas: Areas,
    /// Whether anything stands here.
    touched: bool,
    value: Vec<u8>,
}

impl Extended {
    /// Begins anew, with what a global header said of all members.
    pub(super) fn begin(&mut self, global: &Self) {
        if global.touched {
            *self = global.clone();
        } else if self.touched {
            self.path.clear();
            self.sparse_name.clear();
            self.size = None;
            self.real_size = None;
            self.mtime_s = None;
            self.map_in_data = false;
            self.areas.clear();
            self.touched = false;
        }
    }

    pub(super) fn name(&self) -> Option<&Name> {
        self.sparse_name.get().or_else(|| self.path.get())
    }

    /// Takes a header of this length; of a key that comes twice the last value holds.
    pub(super) fn read<R: BufRead>(
        &mut self,
        input: &mut Input<R>,
        mut length: u64,
    ) -> Result<(), Damage> {
        self.touched = true;
        while length > 0 {
            length = length
                .checked_sub(self.record(input, length)?)
                .ok_or(NO_RECORD)?;
        }
        Ok(())
    }

    /// Takes one record and answers its length.
    fn record<R: BufRead>(&mut self, input: &mut Input<R>, most: u64) -> Result<u64, Damage> {
        let (length, digits) = length_of(input)?;
        if length > most {
            return Err(NO_RECORD);
        }
        // The length counts itself, the space behind it, and the line's end.
        let mut left = length.checked_sub(digits + 2).ok_or(NO_RECORD)?;
        let mut key = [0; LONGEST_KEY];
        let mut at = 0;
        let known = loop {
            let Some(next) = left.checked_sub(1) else {
                return Err(NO_RECORD);
            };
            left = next;
            match (input.byte()?, key.get_mut(at)) {
                (b'=', _) => break true,
                (byte, Some(place)) => *place = byte,
                // Nobody's key that we look at.
                (_, None) => break false,
            }
            at += 1;
        };
        match key.get(..at) {
            Some(key) if known => self.value(key, input, left)?,
            _ => input.skip(left)?,
        }
        if input.byte()? == b'\n' {
            Ok(length)
        } else {
            Err(NO_RECORD)
        }
    }

    fn value<R: BufRead>(
        &mut self,
        key: &[u8],
        input: &mut Input<R>,
        length: u64,
    ) -> Result<(), Damage> {
        match key {
            b"path" => self.path.take_from(input, length),
            b"GNU.sparse.name" => self.sparse_name.take_from(input, length),
            b"GNU.sparse.map" => {
                let whole = self.keep(input, length, LONGEST_MAP)?;
                self.areas.take_list(&self.value, whole)
            }
            b"size"
            | b"mtime"
            | b"GNU.sparse.major"
            | b"GNU.sparse.size"
            | b"GNU.sparse.realsize"
            | b"GNU.sparse.offset"
            | b"GNU.sparse.numbytes" => {
                if !self.keep(input, length, LONGEST_NUMBER)? {
                    return Err(NO_NUMBER);
                }
                self.number(key)
            }
            _ => input.skip(length),
        }
    }

    /// Keeps a value's first bytes; answers whether that is all of it.
    fn keep<R: BufRead>(
        &mut self,
        input: &mut Input<R>,
        length: u64,
        most: usize,
    ) -> Result<bool, Damage> {
        self.value.clear();
        let value = &mut self.value;
        input.each(length, |piece| {
            let room = most.saturating_sub(value.len());
            value.extend_from_slice(piece.get(..room).unwrap_or(piece));
        })?;
        Ok(u64::try_from(self.value.len()).is_ok_and(|kept| kept == length))
    }

    fn number(&mut self, key: &[u8]) -> Result<(), Damage> {
        if key == b"mtime" {
            self.mtime_s = Some(seconds(&self.value).ok_or(NO_NUMBER)?);
            return Ok(());
        }
        let number = decimal(&self.value).ok_or(NO_NUMBER)?;
        match key {
            b"size" => self.size = Some(number),
            b"GNU.sparse.major" => self.map_in_data = number >= 1,
            b"GNU.sparse.offset" => self.areas.offset(number),
            b"GNU.sparse.numbytes" => self.areas.length(number),
            _ => self.real_size = Some(number),
        }
        Ok(())
    }
}

/// The length of a record, and how many digits told it. The space behind them is taken.
fn length_of<R: BufRead>(input: &mut Input<R>) -> Result<(u64, u64), Damage> {
    let (mut length, mut digits) = (0u64, 0);
    loop {
        match input.byte()? {
            digit @ b'0'..=b'9' if digits < 20 => {
                length = length
                    .checked_mul(10)
                    .and_then(|length| length.checked_add(u64::from(digit - b'0')))
                    .ok_or(NO_RECORD)?;
                digits += 1;
            }
            b' ' if digits > 0 => return Ok((length, digits)),
            _ => return Err(NO_RECORD),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Extended, Damage> {
        let mut extended = Extended::default();
        let length = u64::try_from(bytes.len()).unwrap();
        extended
            .read(&mut Input::new(bytes), length)
            .map(|()| extended)
    }

    /// A record with the length that it should have.
    fn record(text: &[u8]) -> Vec<u8> {
        let mut length = text.len() + 2;
        loop {
            let whole = [format!("{length} ").as_bytes(), text, b"\n"].concat();
            if whole.len() == length {
                return whole;
            }
            length = whole.len();
        }
    }

    fn header(records: &[&[u8]]) -> Vec<u8> {
        records.iter().flat_map(|text| record(text)).collect()
    }

    #[test]
    fn what_gnu_tar_writes_is_read() {
        let extended = read(&header(&[
            b"mtime=1790000000.123456789",
            b"atime=1790000000",
            "path=./a/ä=b c\nd".as_bytes(),
            b"SCHILY.xattr.user.x=\x00\n=\n9",
            b"SCHILY.xattr.user.with-a-name-longer-than-any-key-we-know=1",
            b"size=8589934592",
        ]));
        let extended = extended.unwrap();
        assert_eq!(extended.name().unwrap().bytes, "./a/ä=b c\nd".as_bytes());
        assert_eq!(extended.size, Some(8_589_934_592));
        assert_eq!(extended.mtime_s, Some(1_790_000_000));
    }

    #[test]
    fn the_real_name_of_a_sparse_file_holds_wherever_it_stands() {
        let extended = read(&header(&[
            b"GNU.sparse.major=1",
            b"GNU.sparse.minor=0",
            b"GNU.sparse.name=./real",
            b"GNU.sparse.realsize=100000",
            b"path=./GNUSparseFile.1234/real",
        ]));
        let extended = extended.unwrap();
        assert_eq!(extended.name().unwrap().bytes, b"./real");
        assert_eq!(
            (extended.real_size, extended.map_in_data),
            (Some(100_000), true)
        );
    }

    #[test]
    fn an_attribute_of_any_length_is_passed_over_and_a_long_name_is_cut() {
        let long = vec![b'x'; 1 << 20];
        let attribute = [b"SCHILY.xattr.user.x=", long.as_slice()].concat();
        let path = [b"path=", long.as_slice()].concat();
        let extended = read(&header(&[&attribute, &path, b"size=7"])).unwrap();
        assert!(extended.name().unwrap().cut);
        assert!(extended.path.name.bytes.capacity() < 1 << 17);
        assert!(extended.value.capacity() < 1 << 17);
        assert_eq!(extended.size, Some(7));
        assert!(read(&header(&[&[b"size=", long.as_slice()].concat()])).is_err());
    }

    #[test]
    fn records_that_are_none_are_refused() {
        for bytes in [
            &b"0 \n"[..],
            b"2 \n",
            b"5 a=\n7 a=bcd\n",
            b"6 a=b\nx",
            b"99 a=b\n",
            b"a=b\n",
            b" 6 a=b\n",
            b"6 abc\n",
            b"7 a=b\n",
            b"5 a=b\n",
            b"18446744073709551615 a=b\n",
            b"99999999999999999999 a=b\n",
            b"000000000000000000006 a=b\n",
            b"10 size=x\n",
            b"11 size=-1\n",
            b"28 size=9223372036854775808\n",
            b"12 mtime=1-\n",
            b"9 mtime=\n",
            b"6",
        ] {
            assert!(read(bytes).is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn times_before_the_epoch_round_downwards() {
        for (text, expected) in [
            ("-1.5", -2),
            ("-1.0", -1),
            ("-1", -1),
            ("-0.1", -1),
            ("1.9", 1),
            ("0", 0),
        ] {
            assert_eq!(seconds(text.as_bytes()), Some(expected), "{text}");
        }
        for text in [
            "",
            "-",
            ".",
            "1.x",
            "--1",
            "+1",
            "9223372036854775808",
            "-9223372036854775808.5",
        ] {
            assert_eq!(seconds(text.as_bytes()), None, "{text}");
        }
    }
}
