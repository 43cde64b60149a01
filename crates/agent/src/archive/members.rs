//! The members of a tar stream, one after the other, with nothing kept but the present one's name.
//!
//! The `tar` crate keeps long names and extended headers whole, however long they are, and its raw mode knows neither the
//! sizes in extended headers nor the maps of sparse files. So only its view of a header's fields is used.

use std::io::BufRead;

use tar::{EntryType, GnuExtSparseHeader, GnuSparseHeader, Header};

use super::input::{BLOCK, Damage, Input};
use super::name::Name;
use super::number;
use super::pax::{Extended, Given};
use super::sparse::{Area, Areas, MapInData};

const NO_HEADER: Damage = Damage::Malformed("what should be a header is none");
const NO_SIZE: Damage = Damage::Malformed("a header tells a size or a time that is none");
const ZEROS: [u8; BLOCK] = [0; BLOCK];

/// What a member is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A regular file.
    File,
    Directory,
    /// Links, devices, pipes: members without content.
    Other,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) kind: Kind,
    /// Bytes of a regular file, holes and all.
    pub(super) size: u64,
    pub(super) mtime_s: i64,
    layout: Layout,
}

/// How a member's content lies in the archive.
#[derive(Debug)]
enum Layout {
    Plain,
    Areas(Areas),
    MapInData,
}

pub(super) struct Members<R> {
    input: Input<R>,
    /// What is left of the present member, padding and all.
    unread: u64,
    name: Name,
    long: Given,
    extended: Extended,
    global: Extended,
}

impl<R: BufRead> Members<R> {
    pub(super) fn new(reader: R) -> Self {
        Self {
            input: Input::new(reader),
            unread: 0,
            name: Name::default(),
            long: Given::default(),
            extended: Extended::default(),
            global: Extended::default(),
        }
    }

    /// Where in the unpacked stream we are.
    pub(super) fn at(&self) -> u64 {
        self.input.at
    }

    /// The name of the present member.
    pub(super) fn name(&self) -> &Name {
        &self.name
    }

    /// The next member; `None` at the end marker. What follows that is read and counts for nothing, as tar restores nothing
    /// of it.
    pub(super) fn next(&mut self) -> Result<Option<Member>, Damage> {
        self.long.forget();
        self.extended.begin(&self.global);
        let mut announced = false;
        loop {
            self.input.skip(self.unread)?;
            self.unread = 0;
            let mut header = Header::new_old();
            if !self.input.block(header.as_mut_bytes())? {
                return Err(Damage::Malformed("it ends without an end marker"));
            }
            if header.as_bytes() == &ZEROS {
                return self.end(announced);
            }
            check(&header)?;
            let size = size_of(&header)?;
            match header.as_old().linkflag {
                [b'L'] => {
                    self.begin(size)?;
                    self.long.take_from(&mut self.input, size)?;
                    self.long.trim();
                    self.unread -= size;
                }
                // Where a link leads is nobody's business here.
                [b'K'] => self.begin(size)?,
                [b'x' | b'X'] => {
                    self.begin(size)?;
                    self.extended.begin(&self.global);
                    self.extended.read(&mut self.input, size)?;
                    self.unread -= size;
                }
                [b'g'] => {
                    self.begin(size)?;
                    self.global.read(&mut self.input, size)?;
                    self.unread -= size;
                    self.extended.begin(&self.global);
                }
                _ => return self.member(&header, size).map(Some),
            }
            announced = true;
        }
    }

    /// The second of the two empty blocks that end an archive.
    fn end(&mut self, announced: bool) -> Result<Option<Member>, Damage> {
        if announced {
            return Err(Damage::Malformed(
                "a header announces a member that does not come",
            ));
        }
        let mut second = ZEROS;
        second[0] = 1;
        if self.input.block(&mut second)? && second == ZEROS {
            self.input.drain()?;
            return Ok(None);
        }
        Err(Damage::Malformed("its end marker is only half there"))
    }

    /// Content of this many bytes begins.
    fn begin(&mut self, size: u64) -> Result<(), Damage> {
        self.unread = size.checked_next_multiple_of(512).ok_or(NO_SIZE)?;
        Ok(())
    }

    fn member(&mut self, header: &Header, size: u64) -> Result<Member, Damage> {
        self.take_name(header);
        let stored = self.extended.size.unwrap_or(size);
        let mut kind = kind_of(header.entry_type());
        // A directory of before the type was told: its name ends with a slash.
        if kind == Kind::File && self.name.bytes.ends_with(b"/") {
            kind = Kind::Directory;
        }
        if has_no_content(header.entry_type()) && stored > 0 {
            // GNU tar lists such a member as if content followed, and restores it as if none did.
            return Err(Damage::Malformed(
                "a link, directory or device claims to have content",
            ));
        }
        let mut size = self.extended.real_size.unwrap_or(stored);
        let mut layout = Layout::Plain;
        if self.extended.map_in_data {
            layout = Layout::MapInData;
        } else if self.extended.real_size.is_some() {
            layout = Layout::Areas(self.extended.areas.clone());
        } else if header.entry_type() == EntryType::GNUSparse {
            let (areas, real) = self.old_map(header)?;
            (layout, size) = (Layout::Areas(areas), real);
        }
        self.begin(stored)?;
        let told = || number::header(&header.as_old().mtime).ok_or(NO_SIZE);
        Ok(Member {
            kind,
            size: if kind == Kind::File { size } else { 0 },
            mtime_s: self.extended.mtime_s.map_or_else(told, Ok)?,
            layout,
        })
    }

    fn take_name(&mut self, header: &Header) {
        self.name.clear();
        match self.extended.name().or_else(|| self.long.get()) {
            Some(name) => self.name.clone_from(name),
            None => self.name.push(&header.path_bytes()),
        }
    }

    /// The map of a sparse file in GNU's own format: four areas in its header, the others in blocks behind it.
    fn old_map(&mut self, header: &Header) -> Result<(Areas, u64), Damage> {
        let gnu = header.as_gnu().ok_or(NO_HEADER)?;
        let mut areas = Areas::default();
        take_areas(&mut areas, &gnu.sparse)?;
        let mut more = gnu.is_extended();
        while more {
            let mut block = GnuExtSparseHeader::new();
            if !self.input.block(block.as_mut_bytes())? {
                return Err(Damage::Truncated);
            }
            take_areas(&mut areas, &block.sparse)?;
            more = block.is_extended();
        }
        Ok((areas, size(&gnu.realsize)?))
    }

    /// Hands over the present member's content from its start, at most `limit` bytes, holes as zeros.
    pub(super) fn content(
        &mut self,
        member: &Member,
        limit: u64,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Damage> {
        match &member.layout {
            Layout::Plain => self.stored(member.size.min(limit), take),
            Layout::Areas(areas) => self.expanded(areas, member.size, limit, take),
            Layout::MapInData => {
                let areas = self.map_in_data()?;
                self.expanded(&areas, member.size, limit, take)
            }
        }
    }

    fn stored(&mut self, count: u64, take: &mut dyn FnMut(&[u8])) -> Result<(), Damage> {
        self.unread = self.unread.checked_sub(count).ok_or(Damage::Malformed(
            "a sparse file tells of more content than it has",
        ))?;
        self.input.each(count, take)
    }

    fn map_in_data(&mut self) -> Result<Areas, Damage> {
        let mut map = MapInData::default();
        loop {
            let mut byte = 0;
            self.stored(1, &mut |piece| byte = piece.first().copied().unwrap_or(0))?;
            if map.byte(byte)? {
                break;
            }
        }
        // The map is padded to whole blocks; what is unread always ends at one.
        let padding = self.unread % 512;
        self.stored(padding, &mut |_| {})?;
        Ok(map.areas)
    }

    fn expanded(
        &mut self,
        areas: &Areas,
        size: u64,
        mut left: u64,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Damage> {
        for run in areas.runs(size)? {
            let mut zeros = run.zeros.min(left);
            left -= zeros;
            while zeros > 0 {
                let piece = usize::try_from(zeros).map_or(BLOCK, |zeros| zeros.min(BLOCK));
                take(ZEROS.get(..piece).unwrap_or_default());
                zeros -= zeros.min(512);
            }
            let data = run.data.min(left);
            left -= data;
            self.stored(data, take)?;
            if left == 0 {
                break;
            }
            // Each area begins with a block of its own.
            self.stored(self.unread % 512, &mut |_| {})?;
        }
        Ok(())
    }
}

fn check(header: &Header) -> Result<(), Damage> {
    let bytes = header.as_bytes();
    let field = &header.as_old().cksum;
    let told = number::header(field).ok_or(NO_HEADER)?;
    // The field itself counts as if it held spaces.
    let own: i64 = field.iter().map(|byte| i64::from(*byte)).sum();
    let spaces = 8 * i64::from(b' ');
    let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
    if i64::from(sum) - own + spaces == told {
        return Ok(());
    }
    // Some old writers summed up signed characters.
    let signed =
        |bytes: &[u8]| -> i64 { bytes.iter().map(|byte| i64::from(byte.cast_signed())).sum() };
    if signed(bytes) - signed(field) + spaces == told {
        return Ok(());
    }
    Err(NO_HEADER)
}

fn kind_of(kind: EntryType) -> Kind {
    match kind.as_byte() {
        // `D` is a directory with a list of what was in it, of an incremental backup.
        b'5' | b'D' => Kind::Directory,
        b'1' | b'2' | b'3' | b'4' | b'6' | b'M' | b'V' => Kind::Other,
        // What is not known is a file to every reader.
        _ => Kind::File,
    }
}

fn has_no_content(kind: EntryType) -> bool {
    matches!(kind.as_byte(), b'1'..=b'6')
}

fn size_of(header: &Header) -> Result<u64, Damage> {
    size(&header.as_old().size)
}

fn size(field: &[u8]) -> Result<u64, Damage> {
    number::header(field)
        .and_then(|number| u64::try_from(number).ok())
        .ok_or(NO_SIZE)
}

fn take_areas(areas: &mut Areas, fields: &[GnuSparseHeader]) -> Result<(), Damage> {
    // An empty field ends the list.
    for field in fields.iter().take_while(|field| !field.is_empty()) {
        areas.push(Area {
            offset: size(&field.offset)?,
            length: size(&field.numbytes)?,
        });
    }
    Ok(())
}
