//! What stands before a value in Redis, so that nothing foreign or damaged is taken for one.
//!
//! `magic (4 bytes) | version (1) | checksum (8) | protobuf message`

use bytes::Bytes;

const MAGIC: [u8; 4] = *b"uclp";
const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 8;
const HEADER_BYTES: usize = MAGIC.len() + 1 + CHECKSUM_BYTES;

/// Why bytes are no value of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EnvelopeError {
    /// Too short for a header, or another magic.
    #[error("it has no header of unclip")]
    Foreign,
    /// Written by another release.
    #[error("it has version {0}, this gateway reads {VERSION}")]
    Version(u8),
    /// Cut off or changed.
    #[error("its checksum is wrong")]
    Checksum,
}

/// Puts the header before a payload.
pub(super) fn seal(payload: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(HEADER_BYTES + payload.len());
    sealed.extend_from_slice(&MAGIC);
    sealed.push(VERSION);
    sealed.extend_from_slice(&checksum(payload));
    sealed.extend_from_slice(payload);
    sealed
}

/// Checks the header and returns the payload, without a copy.
pub(super) fn open(sealed: &Bytes) -> Result<Bytes, EnvelopeError> {
    let (header, payload) = sealed.split_at_checked(HEADER_BYTES).ok_or(EnvelopeError::Foreign)?;
    let rest = header.strip_prefix(&MAGIC).ok_or(EnvelopeError::Foreign)?;
    match rest {
        [VERSION, sum @ ..] if sum == checksum(payload) => Ok(sealed.slice(HEADER_BYTES..)),
        [VERSION, ..] => Err(EnvelopeError::Checksum),
        [version, ..] => Err(EnvelopeError::Version(*version)),
        [] => Err(EnvelopeError::Foreign),
    }
}

fn checksum(payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&blake3::hash(payload).as_bytes()[..CHECKSUM_BYTES]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reopen(sealed: &[u8]) -> Result<Bytes, EnvelopeError> {
        open(&Bytes::copy_from_slice(sealed))
    }

    #[test]
    fn a_payload_comes_back() {
        for payload in [b"".as_slice(), b"a payload"] {
            assert_eq!(reopen(&seal(payload)).unwrap(), payload);
        }
    }

    #[test]
    fn every_cut_is_noticed() {
        let sealed = seal(b"a payload");
        for length in 0..sealed.len() {
            assert!(reopen(&sealed[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let sealed = seal(b"a payload");
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(reopen(&changed).is_err(), "{bit}");
        }
    }

    #[test]
    fn the_error_names_the_cause() {
        let mut other = seal(b"a payload");
        other[4] = 9;
        assert_eq!(reopen(&other), Err(EnvelopeError::Version(9)));
        assert_eq!(reopen(b"{\"json\": \"of someone else\"}"), Err(EnvelopeError::Foreign));
        let mut damaged = seal(b"a payload");
        damaged.pop();
        assert_eq!(reopen(&damaged), Err(EnvelopeError::Checksum));
    }
}
