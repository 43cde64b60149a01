//! Archives for tests, header by header, so that hostile ones can be made as well.

/// An archive that grows.
#[derive(Debug, Clone, Default)]
pub(super) struct Tar(pub(super) Vec<u8>);

impl Tar {
    pub(super) fn file(self, name: &str, content: &[u8]) -> Self {
        self.member(name, b'0', content)
    }

    pub(super) fn directory(self, name: &str) -> Self {
        self.member(&format!("{name}/"), b'5', b"")
    }

    pub(super) fn member(self, name: &str, kind: u8, content: &[u8]) -> Self {
        let size = u64::try_from(content.len()).unwrap();
        self.with(Header::new(name.as_bytes(), kind, size))
            .content(content)
    }

    pub(super) fn with(mut self, header: Header) -> Self {
        self.0.extend_from_slice(&header.sealed());
        self
    }

    pub(super) fn content(mut self, content: &[u8]) -> Self {
        self.0.extend_from_slice(content);
        let whole = self.0.len().next_multiple_of(512);
        self.0.resize(whole, 0);
        self
    }

    /// A member of this kind that describes the next one.
    pub(super) fn about(self, kind: u8, content: &[u8]) -> Self {
        self.member("././@LongLink", kind, content)
    }

    pub(super) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let all: Vec<u8> = records
            .iter()
            .flat_map(|(key, value)| record(key, value))
            .collect();
        self.about(b'x', &all)
    }

    /// With the two empty blocks that end it.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

/// One header.
#[derive(Debug, Clone)]
pub(super) struct Header(pub(super) [u8; 512]);

impl Header {
    pub(super) fn new(name: &[u8], kind: u8, size: u64) -> Self {
        let mut header = Self([0; 512]);
        header.put(0, &name[..name.len().min(100)]);
        header.put(100, b"0000644\0");
        header.put(108, b"0000000\0");
        header.put(116, b"0000000\0");
        header.put(124, format!("{size:011o}\0").as_bytes());
        header.put(136, format!("{:011o}\0", 1_790_000_000).as_bytes());
        header.put(156, &[kind]);
        header.put(257, b"ustar\x0000");
        header
    }

    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// With other bytes at this place.
    pub(super) fn but(mut self, at: usize, bytes: &[u8]) -> Self {
        self.put(at, bytes);
        self
    }

    fn sealed(mut self) -> [u8; 512] {
        self.put(148, b"        ");
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.put(148, format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

/// A record of an extended header, with the length that it must have.
pub(super) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let mut length = key.len() + value.len() + 4;
    loop {
        let whole = [format!("{length} {key}=").as_bytes(), value, b"\n"].concat();
        if whole.len() == length {
            return whole;
        }
        length = whole.len();
    }
}

pub(super) fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}
