//! Memory-mapped safetensors: one file, or several with an index.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::SafeTensors;

use crate::{BundleError, WeightFiles, files};

/// The dtypes networks are loaded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 32-bit float.
    F32,
    /// 16-bit IEEE float.
    F16,
    /// bfloat16.
    Bf16,
}

impl Dtype {
    /// Bytes per element.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// A tensor inside a mapped file: row-major, little-endian.
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    /// Its dtype.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: &'a [usize],
    /// Its bytes, `shape.product() * dtype.size()` of them.
    pub data: &'a [u8],
    /// The file it lies in.
    pub file: &'a Path,
    /// Where `data` begins in that file, in bytes.
    pub offset: usize,
}

impl TensorView<'_> {
    /// The first value.
    pub fn first(&self) -> Option<f32> {
        let bytes = self.data;
        match self.dtype {
            Dtype::F32 => Some(f32::from_le_bytes(*bytes.first_chunk()?)),
            Dtype::F16 => Some(half::f16::from_le_bytes(*bytes.first_chunk()?).to_f32()),
            Dtype::Bf16 => Some(half::bf16::from_le_bytes(*bytes.first_chunk()?).to_f32()),
        }
    }
}

struct Entry {
    dtype: safetensors::Dtype,
    shape: Vec<usize>,
    file: usize,
    start: usize,
    end: usize,
}

struct MappedFile {
    path: PathBuf,
    map: Mmap,
}

/// The weights of one component: names to mapped tensors.
pub struct Weights {
    path: PathBuf,
    files: Vec<MappedFile>,
    entries: BTreeMap<String, Entry>,
}

impl Weights {
    /// Maps a component's files, see [`WeightFiles::find`].
    ///
    /// # Errors
    /// A missing or damaged file.
    pub fn open(files: WeightFiles) -> Result<Self, BundleError> {
        let mut weights = Self { path: files.main, files: Vec::new(), entries: BTreeMap::new() };
        for path in files.paths {
            weights.add(path)?;
        }
        Ok(weights)
    }

    /// The file that errors name: the single file, or the list of shards.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All files that hold the weights, in a fixed order.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The tensor `name`, which must have the shape `expected`.
    ///
    /// # Errors
    /// [`BundleError::MissingTensor`], [`BundleError::Shape`] or [`BundleError::TensorDtype`].
    pub fn tensor(&self, name: &str, expected: &[usize]) -> Result<TensorView<'_>, BundleError> {
        let entry = self.entries.get(name).ok_or_else(|| BundleError::MissingTensor {
            path: self.path.clone(),
            tensor: name.to_owned(),
            expected: expected.to_vec(),
        })?;
        let file = &self.files[entry.file];
        if entry.shape != expected {
            return Err(BundleError::Shape {
                path: file.path.clone(),
                tensor: name.to_owned(),
                expected: expected.to_vec(),
                found: entry.shape.clone(),
            });
        }
        let dtype = match entry.dtype {
            safetensors::Dtype::F32 => Dtype::F32,
            safetensors::Dtype::F16 => Dtype::F16,
            safetensors::Dtype::BF16 => Dtype::Bf16,
            other => {
                return Err(BundleError::TensorDtype {
                    path: file.path.clone(),
                    tensor: name.to_owned(),
                    found: format!("{other:?}"),
                });
            }
        };
        Ok(TensorView {
            dtype,
            shape: &entry.shape,
            data: &file.map[entry.start..entry.end],
            file: &file.path,
            offset: entry.start,
        })
    }

    fn add(&mut self, path: PathBuf) -> Result<(), BundleError> {
        let map = map(&path)?;
        let damaged = |reason: String| BundleError::Safetensors { path: path.clone(), reason };
        let (header, metadata) =
            SafeTensors::read_metadata(&map).map_err(|error| damaged(error.to_string()))?;
        // The file is an eight-byte length, the header of that length, then the data.
        let data = header + 8;
        for (name, info) in metadata.tensors() {
            let (start, end) = (data + info.data_offsets.0, data + info.data_offsets.1);
            if end > map.len() {
                return Err(damaged(format!("tensor `{name}` ends at byte {end} of {}", map.len())));
            }
            let entry =
                Entry { dtype: info.dtype, shape: info.shape.clone(), file: self.files.len(), start, end };
            self.entries.insert(name, entry);
        }
        self.files.push(MappedFile { path, map });
        Ok(())
    }
}

#[expect(unsafe_code, reason = "memory mapping; a bundle must not be rewritten in place while it is served")]
fn map(path: &Path) -> Result<Mmap, BundleError> {
    let (file, _) = files::open_file(path, "complete the download of the checkpoint")?;
    // SAFETY: the mapping is read-only. A bundle's files are replaced by renaming, never rewritten in place.
    unsafe { Mmap::map(&file) }.map_err(|source| BundleError::Io { path: path.to_path_buf(), source })
}
