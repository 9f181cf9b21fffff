//! The gateway's operations on pictures, called.

use std::io::Cursor;

use image::RgbImage;
use tonic::transport::Channel;
use tonic::{Code, Status};
use unclip_proto::v1::unclip_service_client::UnclipServiceClient;
use unclip_proto::v1::{
    DiffImageRequest, EditImageRequest, GeneratedImage, InterpolateImagesRequest, InvertImageRequest,
    InvertedImage, ReconstructImageRequest, VaryImageRequest, diff_image_response, edit_image_response,
    interpolate_images_response, invert_image_response, reconstruct_image_response, vary_image_response,
};

use crate::Server;
use crate::process::MAX_MESSAGE_BYTES;

/// A client of the gateway that takes large messages.
pub fn gateway_client(server: &Server) -> UnclipServiceClient<Channel> {
    UnclipServiceClient::new(server.channel())
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES)
}

/// A PNG file.
pub fn png_file(image: impl Into<image::DynamicImage>) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image.into().write_to(&mut file, image::ImageFormat::Png).unwrap();
    file.into_inner()
}

/// A picture with a gradient in each channel.
pub fn gradient(width: u32, height: u32) -> RgbImage {
    let shade = |value: u32| u8::try_from(value % 256).unwrap();
    RgbImage::from_fn(width, height, |x, y| image::Rgb([shade(x * 6), shade(y * 7), shade(x + y)]))
}

/// The pictures of a stream, in the order they came.
macro_rules! pictures {
    ($function:ident, $method:ident, $request:ident, $module:ident) => {
        /// The pictures that the call of this name streams, in the order they came.
        ///
        /// # Errors
        /// What the gateway refused with, at once or in its stream.
        pub async fn $function(server: &Server, request: $request) -> Result<Vec<GeneratedImage>, Status> {
            let mut stream = gateway_client(server).$method(request).await?.into_inner();
            let mut images = Vec::new();
            while let Some(message) = stream.message().await? {
                if let $module::Event::Image(image) = message.event.unwrap() {
                    images.push(image);
                }
            }
            Ok(images)
        }
    };
}

pictures!(vary, vary_image, VaryImageRequest, vary_image_response);
pictures!(interpolate, interpolate_images, InterpolateImagesRequest, interpolate_images_response);
pictures!(diff, diff_image, DiffImageRequest, diff_image_response);
pictures!(reconstruct, reconstruct_image, ReconstructImageRequest, reconstruct_image_response);
pictures!(edit, edit_image, EditImageRequest, edit_image_response);

/// A picture's latents.
///
/// # Errors
/// What the gateway refused with, at once or in its stream.
pub async fn invert_image(server: &Server, request: InvertImageRequest) -> Result<InvertedImage, Status> {
    let mut stream = gateway_client(server).invert_image(request).await?.into_inner();
    let mut result = None;
    while let Some(message) = stream.message().await? {
        assert!(result.is_none(), "a message after the result");
        if let Some(invert_image_response::Event::Result(inverted)) = message.event {
            result = Some(inverted);
        }
    }
    Ok(result.unwrap())
}

/// Asserts that a call was refused, with this code and with a message that begins so.
///
/// # Panics
/// It was not.
pub fn assert_refused<T>(result: Result<T, Status>, code: Code, expected: &str) {
    let status = result.map(drop).unwrap_err();
    assert_eq!(status.code(), code, "{expected}: {}", status.message());
    assert!(status.message().starts_with(expected), "{}\nshould begin with\n{expected}", status.message());
}
