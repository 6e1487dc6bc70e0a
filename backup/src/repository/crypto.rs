//! The repository's key and what is sealed with it (restic's design.rst, "Keys, Encryption and MAC"):
//! 16 bytes nonce, AES-256-CTR, 16 bytes Poly1305-AES.

use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, Nonce, aead::Aead as _};
use zeroize::Zeroizing;

use crate::{
    digest::Digest,
    failure::{Failure, Reason},
    random,
};

/// Nonce and tag around every sealed text.
pub(crate) const OVERHEAD: usize = 32;
const NONCE: usize = 16;
/// No object of restic's format that we read is larger when unpacked; a bomb ends here.
const LIMIT: usize = 512 * 1024 * 1024;

/// The master key: encryption key and the two keys of the tag.
#[derive(Clone)]
pub(crate) struct Key(Zeroizing<[u8; 64]>);

impl Key {
    /// Joins the three parts; `None` when their lengths are wrong.
    pub(crate) fn from_parts(encrypt: &[u8], tag_key: &[u8], tag_random: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0_u8; 64]);
        let mut rest = key.as_mut_slice();
        for (part, length) in [(encrypt, 32), (tag_key, 16), (tag_random, 16)] {
            let (place, behind) = rest.split_at_mut_checked(length)?;
            if part.len() != length {
                return None;
            }
            place.copy_from_slice(part);
            rest = behind;
        }
        Some(Self(key))
    }

    /// The three parts, as [`Key::from_parts`] takes them.
    pub(crate) fn parts(&self) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let (encrypt, tag) = self.0.split_at(32);
        let (tag_key, tag_random) = tag.split_at(16);
        (encrypt.to_vec(), tag_key.to_vec(), tag_random.to_vec())
    }

    pub(crate) fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, Failure> {
        let nonce: [u8; NONCE] =
            random::bytes().map_err(|error| Failure::caused(Reason::Server, "asking the kernel for a nonce", error))?;
        let sealed = self
            .cipher()
            .encrypt(Nonce::from_slice(&nonce), plain)
            .map_err(|_| Failure::new(Reason::Invalid, "a text is too long to be sealed"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// Opens a sealed text; `None` when a single bit of it was changed or the key is another one.
    pub(crate) fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_at_checked(NONCE)?;
        self.cipher().decrypt(Nonce::from_slice(nonce), text).ok()
    }

    /// Opens an unpacked object (snapshot, index, lock, config): JSON, or a 2 and compressed JSON.
    pub(crate) fn open_object(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let plain = self.open(sealed)?;
        match plain.split_first() {
            Some((b'{' | b'[', _)) => Some(plain),
            Some((2, compressed)) => unpack(compressed),
            _ => None,
        }
    }

    /// Opens a blob and compares its id. `unpacked`: its length when it is compressed.
    pub(crate) fn open_blob(&self, sealed: &[u8], unpacked: Option<u32>, id: &Digest) -> Option<Vec<u8>> {
        let plain = self.open(sealed)?;
        let content = match unpacked {
            None => plain,
            Some(length) => {
                let length = usize::try_from(length).ok().filter(|length| *length <= LIMIT)?;
                zstd::bulk::decompress(&plain, length)
                    .ok()
                    .filter(|content| content.len() == length)?
            }
        };
        (Digest::of(&content) == *id).then_some(content)
    }

    fn cipher(&self) -> Aes256CtrPoly1305Aes {
        Aes256CtrPoly1305Aes::new(aes256ctr_poly1305aes::Key::from_slice(self.0.as_slice()))
    }
}

fn unpack(compressed: &[u8]) -> Option<Vec<u8>> {
    use std::io::Read as _;
    let decoder = zstd::stream::read::Decoder::new(compressed).ok()?;
    let mut plain = Vec::new();
    decoder.take(LIMIT as u64 + 1).read_to_end(&mut plain).ok()?;
    (plain.len() <= LIMIT).then_some(plain)
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Key(…)")
    }
}
