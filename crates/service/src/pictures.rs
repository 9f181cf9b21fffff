//! What servers that take pictures share: the memory for them, and their errors.

use clap::{Args, value_parser};
use unclip_pictures::{MIN_BUDGET, Pool};
use unclip_proto::FieldError;

use crate::{Code, Error};

/// The budget unless given, in MiB.
const DEFAULT_MIB: u32 = 512;

/// Memory for pictures.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Pictures")]
pub struct PictureArgs {
    /// Memory for pictures that are being decoded, resized or encoded, in MiB; beyond it they wait, and beyond 32 that wait
    /// requests are refused with RESOURCE_EXHAUSTED
    #[arg(long, env = "UNCLIP_DECODING_MIB", default_value_t = DEFAULT_MIB, value_parser = value_parser!(u32).range(MIN_MIB..=65_536), value_name = "MIB")]
    pub decoding_mib: u32,
}

/// The least budget, in MiB: the largest picture that is taken, alone.
const MIN_MIB: i64 = (MIN_BUDGET >> 20).cast_signed();

impl Default for PictureArgs {
    fn default() -> Self {
        Self { decoding_mib: DEFAULT_MIB }
    }
}

impl PictureArgs {
    /// The pool that all pictures of the process go through.
    pub fn pool(&self) -> Pool {
        Pool::new(u64::from(self.decoding_mib) << 20)
    }
}

impl From<unclip_pictures::Error> for Error {
    fn from(error: unclip_pictures::Error) -> Self {
        match error {
            unclip_pictures::Error::Invalid { field, problem } => FieldError::new(field, problem).into(),
            unclip_pictures::Error::Full { retry_after } => Self {
                retry_after: Some(retry_after),
                ..Self::new(Code::ResourceExhausted, error.to_string())
            },
            unclip_pictures::Error::Panicked(detail) => {
                Self::internal("the picture could not be worked on; the log says why", detail)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_pool_is_told_with_a_time_to_come_again() {
        let retry_after = std::time::Duration::from_secs(1);
        let error = Error::from(unclip_pictures::Error::Full { retry_after });
        assert_eq!((error.code, error.retry_after), (Code::ResourceExhausted, Some(retry_after)));
    }
}
