//! The container of every blob and chunk: magic, checksum, perhaps encryption, perhaps zstd (proxmox-backup,
//! `pbs-datastore/data_blob.rs`; little endian throughout).

use super::crypt::{IV, Key};

const PLAIN: [u8; 8] = [66, 171, 56, 7, 190, 131, 112, 161];
const PACKED: [u8; 8] = [49, 185, 88, 66, 111, 182, 163, 127];
const SEALED: [u8; 8] = [123, 103, 133, 190, 34, 45, 76, 240];
const PACKED_SEALED: [u8; 8] = [230, 89, 27, 191, 11, 191, 216, 11];
/// Magic and checksum.
const HEAD: usize = 12;
/// The same with initialisation vector and tag.
const SEALED_HEAD: usize = HEAD + 2 * IV;
const LEVEL: i32 = 1;
/// Nothing that stands in a file decides how much memory is taken.
const LONGEST: usize = 128 << 20;

/// Wraps data; it stays uncompressed where compression does not make it shorter.
pub(crate) fn encode(data: &[u8], key: Option<&Key>) -> Result<Vec<u8>, String> {
    let packed = zstd::bulk::compress(data, LEVEL).map_err(|error| error.to_string())?;
    let is_packed = packed.len() < data.len();
    let mut payload = if is_packed { packed } else { data.to_vec() };
    let (magic, extra) = match key {
        None if is_packed => (PACKED, Vec::new()),
        None => (PLAIN, Vec::new()),
        Some(key) => {
            let (iv, tag) = key.seal(&mut payload)?;
            let magic = if is_packed { PACKED_SEALED } else { SEALED };
            (magic, [iv, tag].concat())
        }
    };
    let sum = crc32fast::hash(&payload).to_le_bytes();
    Ok([magic.as_slice(), &sum, &extra, &payload].concat())
}

/// Whether a blob is encrypted, told by its magic; none for what is no blob.
pub(crate) fn is_sealed(raw: &[u8]) -> Option<bool> {
    match raw.first_chunk::<8>()? {
        magic if [PLAIN, PACKED].contains(magic) => Some(false),
        magic if [SEALED, PACKED_SEALED].contains(magic) => Some(true),
        _ => None,
    }
}

/// What a server can say of a blob without any key: whether its checksum is right.
pub(crate) fn check(raw: &[u8]) -> Result<(), String> {
    let sealed = is_sealed(raw).ok_or("Data blob has invalid magic number.")?;
    let start = if sealed { SEALED_HEAD } else { HEAD };
    let payload = raw.get(start..).ok_or("Data blob too small.")?;
    let sum = raw.get(8..HEAD).unwrap_or_default();
    if crc32fast::hash(payload).to_le_bytes() != *sum {
        return Err("Data blob has wrong CRC checksum.".into());
    }
    Ok(())
}

/// What is in a blob.
pub(crate) fn decode(raw: &[u8], key: Option<&Key>) -> Result<Vec<u8>, String> {
    check(raw)?;
    let magic = raw.first_chunk::<8>().copied().unwrap_or_default();
    let sealed = is_sealed(raw) == Some(true);
    let payload = match (sealed, key) {
        (false, _) => raw.get(HEAD..).unwrap_or_default().to_vec(),
        (true, None) => return Err("unable to decrypt blob - missing CryptConfig".into()),
        (true, Some(key)) => {
            let part = |from: usize| -> [u8; IV] {
                let bytes = raw.get(from..from + IV);
                bytes
                    .and_then(|bytes| bytes.try_into().ok())
                    .unwrap_or_default()
            };
            let mut payload = raw.get(SEALED_HEAD..).unwrap_or_default().to_vec();
            key.open(part(HEAD), part(HEAD + IV), &mut payload)?;
            payload
        }
    };
    if magic == PACKED || magic == PACKED_SEALED {
        return zstd::bulk::decompress(&payload, LONGEST).map_err(|error| error.to_string());
    }
    Ok(payload)
}

/// Alters the payload; with `resum` the checksum is made to fit again, so that only the holder of a key notices.
pub(crate) fn damage(raw: &mut [u8], resum: bool) {
    let start = if is_sealed(raw) == Some(true) {
        SEALED_HEAD
    } else {
        HEAD
    };
    let middle = start + raw.len().saturating_sub(start) / 2;
    if let Some(byte) = raw.get_mut(middle) {
        *byte ^= 0x55;
    }
    if resum {
        let sum = crc32fast::hash(raw.get(start..).unwrap_or_default()).to_le_bytes();
        if let Some(place) = raw.get_mut(8..HEAD) {
            place.copy_from_slice(&sum);
        }
    }
}

/// Alters the data inside an unencrypted blob and wraps it again: a sound blob with other content.
pub(crate) fn replaced(raw: &[u8]) -> Result<Vec<u8>, String> {
    let mut data = decode(raw, None)?;
    let middle = data.len() / 2;
    if let Some(byte) = data.get_mut(middle) {
        *byte ^= 0x55;
    }
    encode(&data, None)
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64;

    use super::*;

    #[test]
    fn blobs_of_every_kind_come_back() {
        let key = Key::new([7; 32]);
        let long = vec![b'x'; 10_000];
        for data in [b"".as_slice(), b"short", &long] {
            for key in [None, Some(&key)] {
                let raw = encode(data, key).unwrap();
                check(&raw).unwrap();
                assert_eq!(decode(&raw, key).unwrap(), data);
                assert_eq!(is_sealed(&raw), Some(key.is_some()));
            }
        }
    }

    #[test]
    fn a_server_does_not_notice_altered_ciphertext_with_a_fitting_checksum() {
        let key = Key::new([7; 32]);
        let mut raw = encode(&[b'x'; 10_000], Some(&key)).unwrap();
        let mut other = raw.clone();
        damage(&mut other, false);
        assert_eq!(
            check(&other).unwrap_err(),
            "Data blob has wrong CRC checksum."
        );
        damage(&mut raw, true);
        check(&raw).unwrap();
        assert_eq!(decode(&raw, Some(&key)).unwrap_err(), "OpenSSL error");
    }

    /// What a real client made of a container's configuration: plain, and encrypted with a key that is not known.
    const RECORDED: &str = "\
        MblYQm+2o3/p5kdiKLUv/QBI7QQAokwmG3CldQg0JupSU2HpobZVXeSoGEoPPdVi/8ffEXqWVx/tGtJkfAUlDmE5JoKpAgTqgjYH\
        UwZmW+UYE1AcYUdccUlBtzyNh1DqS63otdwx+QmVfSOoY/JDVGyh2AYjC0dQH6vJYjDsG7Wnt2y+nxKHsJxI6O36qjhkro3l9vR+\
        QqYHHa/97Lc8WxY+taFnebaESgcAy9MyUzIFAA==";
    const RECORDED_SEALED: &str = "\
        5lkbvwu/2AvVYwp4hnhbxzREqMJ86y/5jPSMi/5P5ioe7u/VlzdXEhsoRIH+Lr3s5jXG6IySL/JYf8vD0D9gXyCAfM6yEW483q5l\
        m04Z1NW4FS69JiAwxyCdqoOBYl1tzremAhGWMM4ODbaZBuVoZlGeg8etnGsw1W17vibzeSxMyemk7yw+wiBb8VS+kl1+tfaB3F6l\
        mJn2tYPlXQBlnHt+fm0sQ1pZO+w5h29631sl7kgKA79ejifVGCYN1emb6dLCwVK/rgW3D6BVHACmQo6S2/s=";

    #[test]
    fn recorded_blobs_are_read() {
        let raw = BASE64.decode(RECORDED.as_bytes()).unwrap();
        let text = String::from_utf8(decode(&raw, None).unwrap()).unwrap();
        assert!(text.starts_with("arch: amd64\ncores: 1\n"), "{text}");
        let raw = BASE64.decode(RECORDED_SEALED.as_bytes()).unwrap();
        check(&raw).unwrap();
        assert_eq!(is_sealed(&raw), Some(true));
        assert_eq!(
            decode(&raw, Some(&Key::new([7; 32]))).unwrap_err(),
            "OpenSSL error"
        );
    }
}
