//! What the streams of all drawing calls have in common.

use unclip_proto::v1::{self, GeneratedImage, ImagePreview, StageProgress};

/// What a message of a drawing's stream brings.
pub(crate) enum News {
    Progress(StageProgress),
    Preview(ImagePreview),
    Image(Box<GeneratedImage>),
}

/// A message of a drawing's stream.
pub(crate) trait Message {
    /// What it brings. Nothing where it is of a kind that this program does not know.
    fn news(self) -> Option<News>;
}

macro_rules! messages {
    ($($response:ident in $module:ident),*) => {$(
        impl Message for v1::$response {
            fn news(self) -> Option<News> {
                Some(match self.event? {
                    v1::$module::Event::Progress(progress) => News::Progress(progress),
                    v1::$module::Event::Image(image) => News::Image(image.into()),
                    v1::$module::Event::Preview(preview) => News::Preview(preview),
                })
            }
        }
    )*};
}

messages!(
    GenerateImageResponse in generate_image_response,
    VaryImageResponse in vary_image_response,
    InterpolateImagesResponse in interpolate_images_response,
    DiffImageResponse in diff_image_response,
    ReconstructImageResponse in reconstruct_image_response,
    EditImageResponse in edit_image_response
);
