//! Keys: a hash of everything that a value depends on.

use std::fmt;

/// Separates these hashes from all others. A change of what the fields mean needs another text.
const CONTEXT: &str = "unclip 2026-11 gateway cache key v2";

/// The hash of a list of named fields.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    /// A key without fields yet.
    pub fn builder() -> CacheKeyBuilder {
        CacheKeyBuilder(Box::new(blake3::Hasher::new_derive_key(CONTEXT)))
    }
}

impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CacheKey({self})")
    }
}

/// Takes the fields of a [`CacheKey`].
#[derive(Clone, Debug)]
pub struct CacheKeyBuilder(Box<blake3::Hasher>);

impl CacheKeyBuilder {
    /// Adds a field. The order counts.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.prefixed(name.as_bytes());
        self.prefixed(value.as_ref());
        self
    }

    /// The key of the fields so far.
    pub fn finish(self) -> CacheKey {
        CacheKey(*self.0.finalize().as_bytes())
    }

    /// With its length in front, no part can lend bytes to its neighbour.
    fn prefixed(&mut self, part: &[u8]) {
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(fields: &[(&str, &str)]) -> CacheKey {
        let add = |builder: CacheKeyBuilder, (name, value): &(&str, &str)| builder.field(name, value);
        fields.iter().fold(CacheKey::builder(), add).finish()
    }

    #[test]
    fn equal_fields_give_equal_keys() {
        assert_eq!(key(&[("a", "1"), ("b", "2")]), key(&[("a", "1"), ("b", "2")]));
        assert_eq!(key(&[("a", "1")]).to_string().len(), 64);
    }

    #[test]
    fn shifted_boundaries_give_other_keys() {
        let lists: [&[(&str, &str)]; 10] = [
            &[],
            &[("", "")],
            &[("a", "bc")],
            &[("ab", "c")],
            &[("abc", "")],
            &[("a", "b"), ("c", "")],
            &[("a", "b"), ("", "c")],
            &[("a", ""), ("b", "c")],
            &[("b", "c"), ("a", "")],
            &[("a", "bc"), ("", "")],
        ];
        for (i, left) in lists.iter().enumerate() {
            for right in &lists[i + 1..] {
                assert_ne!(key(left), key(right), "{left:?} {right:?}");
            }
        }
    }

    #[test]
    fn a_value_cannot_pose_as_two_fields() {
        // What the hash sees of the field ("b", "2"), in the value of the field before.
        let posed = [b"1".as_slice(), &1u64.to_le_bytes(), b"b", &1u64.to_le_bytes(), b"2"].concat();
        let one = CacheKey::builder().field("a", posed).finish();
        assert_ne!(one, key(&[("a", "1"), ("b", "2")]));
    }
}
