//! What commands print, and what they write.

mod files;
mod interrupt;
mod plan;

pub(crate) use self::files::{free_name, is_dash, path_of, with_suffix, write};
pub(crate) use self::interrupt::{Unfinished, end_between_files};
pub(crate) use self::plan::{Kind, Plan};

use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use unclip_proto::v1::{GeneratedImage, Receipt, Stage, StageReceipt};

/// Whether a file goes to standard output, so that words must not.
static DATA_ON_STANDARD_OUTPUT: AtomicBool = AtomicBool::new(false);

/// From now on words go to standard error.
fn use_standard_output_for_data() {
    DATA_ON_STANDARD_OUTPUT.store(true, Ordering::Relaxed);
}

/// Prints a line to standard output, or beside a file that goes there to standard error.
pub(crate) fn say(line: &str) {
    // A reader that is gone, as after `| head`, has seen what it wanted.
    let _ = match DATA_ON_STANDARD_OUTPUT.load(Ordering::Relaxed) {
        true => writeln!(std::io::stderr(), "{line}"),
        false => writeln!(std::io::stdout(), "{line}"),
    };
}

/// Writes a picture's receipt.
///
/// # Errors
/// A place that can't be written.
pub(crate) fn write_receipt(path: &Path, image: &GeneratedImage) -> anyhow::Result<()> {
    let receipt = image.receipt.as_ref().map(Receipt::to_json).transpose()?.unwrap_or_default();
    let text = serde_json::to_string_pretty(&receipt)? + "\n";
    write(path, text.as_bytes())
}

/// Prints where a picture is and how it was made.
pub(crate) fn report(path: &Path, image: &GeneratedImage) {
    let receipt = image.receipt.clone().unwrap_or_default();
    let name = if is_dash(path) { "standard output".into() } else { path.to_string_lossy() };
    say(&format!("{name}  {} x {}  seed {}", image.width, image.height, receipt.seed));
    if receipt.prompt_truncated {
        say("  the prompt was longer than the model takes: its end was cut off");
    }
    for stage in &receipt.stages {
        say(&format!("  {}", stage_line(stage)));
    }
}

fn stage_line(receipt: &StageReceipt) -> String {
    let name = stage_name(receipt.stage());
    let from = if receipt.cached { "cached" } else { receipt.dtype.as_str() };
    let mut line = format!("{name:<13} {:>8.2} s  {from}", receipt.seconds);
    if receipt.steps > 0 {
        line += &format!(", {} steps", receipt.steps);
    }
    if matches!(receipt.stage(), Stage::Prior | Stage::Decoder) {
        line += &format!(", guidance {}", receipt.guidance_scale);
    }
    line
}

/// A stage's name for people.
pub(crate) fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::TextEncoder => "text encoder",
        Stage::Prior => "prior",
        Stage::Decoder => "decoder",
        Stage::Upsampler => "upsampler",
        Stage::ImageEncoder => "image encoder",
        Stage::Inversion => "inversion",
        Stage::Unspecified => "unknown",
    }
}
