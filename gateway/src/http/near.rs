//! What was probably meant by a name that is not known.

/// What other servers call the parameters of this one.
const ELSEWHERE: [(&str, &str); 25] = [
    ("num_inference_steps", "steps"),
    ("sampling_steps", "steps"),
    ("decoder_steps", "steps"),
    ("guidance_scale", "guidance"),
    ("cfg_scale", "guidance"),
    ("cfg", "guidance"),
    ("decoder_guidance", "guidance"),
    ("prior_num_inference_steps", "prior_steps"),
    ("prior_guidance_scale", "prior_guidance"),
    ("prior_cfg_scale", "prior_guidance"),
    ("super_res_num_inference_steps", "upsampler_steps"),
    ("num_images", "n"),
    ("num_images_per_prompt", "n"),
    ("batch_size", "n"),
    ("n_iter", "n"),
    ("random_seed", "seed"),
    ("width", "size"),
    ("height", "size"),
    ("format", "output_format"),
    ("compression", "output_compression"),
    ("sampler", "eta"),
    ("sampler_name", "eta"),
    ("scheduler", "eta"),
    ("init_image", "image"),
    ("mask_image", "mask"),
];

/// How alike two names must be that one is taken for the other, from 0 to 1 (Jaro-Winkler).
const ALIKE: f64 = 0.88;

/// The known names that were probably meant; of a path the last name counts. What only differs in case and punctuation is the same.
pub(super) fn near(name: &str, known: &[String]) -> Option<String> {
    let name = plain(name);
    let elsewhere = ELSEWHERE.iter().find(|(other, _)| plain(other) == name).map(|(_, own)| plain(own));
    let known: Vec<_> = known.iter().map(|path| (path.as_str(), plain(last(path)))).collect();
    elsewhere.and_then(|own| alike(&own, &known)).or_else(|| alike(&name, &known))
}

/// The names that are most alike, if any is alike enough.
fn alike(name: &str, known: &[(&str, String)]) -> Option<String> {
    let scored: Vec<_> = known.iter().map(|(path, own)| (*path, strsim::jaro_winkler(own, name))).collect();
    let best = scored.iter().map(|(_, score)| *score).fold(ALIKE, f64::max);
    let found: Vec<_> = scored.iter().filter(|(_, score)| *score >= best).map(|(path, _)| *path).collect();
    (!found.is_empty()).then(|| found.join(" or "))
}

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|it| it.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_names_and_typing_mistakes_are_understood() {
        let known = ["prompt", "steps", "guidance", "negative_prompt", "n", "seed", "size", "mask"];
        let known = known.map(str::to_owned);
        for (name, expected) in [
            ("num_inference_steps", Some("steps")),
            ("numInferenceSteps", Some("steps")),
            ("cfg_scale", Some("guidance")),
            ("negativePrompt", Some("negative_prompt")),
            ("negative-prompt", Some("negative_prompt")),
            ("promt", Some("prompt")),
            ("seeds", Some("seed")),
            ("height", Some("size")),
            // The endpoint has no such parameter under any name.
            ("init_image", None),
            ("lora", None),
            ("", None),
        ] {
            assert_eq!(near(name, &known).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn of_a_path_the_last_name_counts() {
        let known = ["prompt", "prior.steps", "decoder.steps", "decoder.guidance_scale"].map(str::to_owned);
        assert_eq!(near("steps", &known).as_deref(), Some("prior.steps or decoder.steps"));
        assert_eq!(near("cfg_scale", &known).as_deref(), Some("decoder.guidance_scale"));
    }
}
