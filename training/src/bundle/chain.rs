//! The cascade's order: a decoder and the upsamplers after it, each of which takes what the one before it draws.

use std::path::{Path, PathBuf};

use crate::TrainError;
use crate::run::{RunFolder, RunInfo};

/// Where the upsampler at `place` of the chain lies in a bundle, counted from 0: the first one where diffusers' pipeline has
/// its only one, further ones in folders of their own, each with `super_res_first/`, `super_res_last/`,
/// `super_res_scheduler/` and `sampling.json`. What serves a chain decides this; nothing else knows it.
pub(super) fn upsampler_folder(bundle: &Path, place: usize) -> PathBuf {
    match place {
        0 => bundle.to_path_buf(),
        further => bundle.join("upsamplers").join((further + 1).to_string()),
    }
}

/// A run and where its parts go.
pub(super) struct Placed {
    pub(super) run: PathBuf,
    pub(super) target: PathBuf,
}

/// Puts runs into the order of the cascade.
///
/// # Errors
/// A folder that is no run, or an upsampler that does not take what the stage before it draws.
pub(super) fn place(runs: &[PathBuf], output: &Path) -> Result<Vec<Placed>, TrainError> {
    let known = runs.iter().map(|run| Ok((run.clone(), RunFolder::at(run).info()?)));
    let known: Vec<(PathBuf, RunInfo)> = known.collect::<Result<_, TrainError>>()?;
    let (mut chain, others): (Vec<_>, Vec<_>) =
        known.into_iter().partition(|(_, info)| info.stage == "upsampler");
    chain.sort_by_key(|(_, info)| info.draws);
    let mut drawn = others.iter().find(|(_, info)| info.stage == "decoder").and_then(|(_, info)| info.draws);
    for (run, info) in &chain {
        fits(run, drawn, info.takes)?;
        drawn = info.draws;
    }
    let others = others.into_iter().map(|(run, _)| Placed { run, target: output.to_path_buf() });
    let chain = chain.into_iter().enumerate();
    Ok(others
        .chain(chain.map(|(place, (run, _))| Placed { run, target: upsampler_folder(output, place) }))
        .collect())
}

/// Runs of before sides were noted are believed.
fn fits(run: &Path, drawn: Option<usize>, taken: Option<usize>) -> Result<(), TrainError> {
    match (drawn, taken) {
        (Some(drawn), Some(taken)) if drawn != taken => {
            let reason = format!(
                "this upsampler takes pictures of {taken} px, the stage before it draws {drawn} px; train one from {drawn} px"
            );
            Err(TrainError::Export { path: run.to_path_buf(), reason })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::write_json;

    fn run(root: &Path, name: &str, takes: Option<usize>, draws: usize) -> PathBuf {
        let stage = if takes.is_some() { "upsampler" } else { "decoder" };
        let run = root.join(name);
        crate::error::make_folder(&run).unwrap();
        let info = RunInfo { takes, draws: Some(draws), ..RunInfo::of(stage) };
        write_json(&run.join("run.json"), &info).unwrap();
        run
    }

    #[test]
    fn upsamplers_are_put_into_order_and_must_fit() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let decoder = run(root, "decoder", None, 16);
        let (large, small) = (run(root, "large", Some(64), 256), run(root, "small", Some(16), 64));
        let out = Path::new("bundle");
        let placed = place(&[large.clone(), decoder.clone(), small.clone()], out).unwrap();
        let found: Vec<_> = placed.into_iter().map(|placed| (placed.run, placed.target)).collect();
        let expected =
            [(decoder.clone(), out.into()), (small, out.into()), (large.clone(), out.join("upsamplers/2"))];
        assert_eq!(found, expected);
        let error = place(&[decoder, large], out).err().unwrap().to_string();
        assert!(error.contains("takes pictures of 64 px, the stage before it draws 16 px"), "{error}");
    }
}
