//! Randomness from the kernel: nonces, and the passwords of new repositories.

use std::{fs::File, io::Read as _};

use crate::digest::Digest;

/// Unpredictable bytes.
pub(crate) fn bytes<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0_u8; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A name that nobody else has.
pub(crate) fn nonce() -> std::io::Result<Digest> {
    bytes().map(Digest::from_bytes)
}

/// A password of 160 bits in groups that a person can copy from paper: no digit that looks like a letter.
///
/// # Errors
/// When the kernel gives no randomness.
pub fn password() -> std::io::Result<String> {
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";
    let letters = bytes::<32>()?.map(|byte| LETTERS.get(usize::from(byte % 32)).copied().unwrap_or(b'a'));
    let groups: Vec<String> = letters
        .chunks(4)
        .map(|group| String::from_utf8_lossy(group).into_owned())
        .collect();
    Ok(groups.join("-"))
}
