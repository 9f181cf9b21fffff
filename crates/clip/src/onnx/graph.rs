//! Builds an ONNX graph node by node. Weights stay where they are: a constant names file, offset and length.

use std::path::{Path, PathBuf};

use prost::Message;
use unclip_bundle::{BundleError, Dtype, TensorView, Weights};

use super::Graph;
use super::proto::attribute_proto::AttributeType;
use super::proto::tensor_proto::{DataLocation, DataType};
use super::proto::tensor_shape_proto::{Dimension, dimension};
use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};

/// Opset 20 is the first with `Gelu`; version 9 of the format is the one that came with it.
const OPSET: i64 = 20;
const IR_VERSION: i64 = 9;

/// The name of a value in the graph.
#[derive(Clone, Debug)]
pub(crate) struct Value(String);

/// An axis of an input or output.
#[derive(Clone, Copy)]
pub(crate) enum Axis {
    /// Any number of rows.
    Batch,
    /// A fixed size.
    Size(usize),
}

/// Element types the graphs compute with.
#[derive(Clone, Copy)]
pub(crate) enum Element {
    F32,
    I32,
    I64,
}

impl From<Element> for DataType {
    fn from(element: Element) -> Self {
        match element {
            Element::F32 => Self::Float,
            Element::I32 => Self::Int32,
            Element::I64 => Self::Int64,
        }
    }
}

/// A parameter of an operation.
pub(crate) enum Attribute<'a> {
    Float(&'a str, f32),
    Int(&'a str, i64),
    Ints(&'a str, &'a [i64]),
}

/// A graph in the making.
pub(crate) struct GraphBuilder<'w> {
    weights: &'w Weights,
    graph: GraphProto,
    errors: Vec<BundleError>,
    tensors: Vec<(String, Vec<usize>)>,
    values: usize,
}

impl<'w> GraphBuilder<'w> {
    pub(crate) fn new(name: &str, weights: &'w Weights) -> Self {
        let graph = GraphProto { name: name.to_owned(), ..GraphProto::default() };
        Self { weights, graph, errors: Vec::new(), tensors: Vec::new(), values: 0 }
    }

    pub(crate) fn input(&mut self, name: &str, element: Element, shape: &[Axis]) -> Value {
        self.graph.input.push(value_info(name, element, shape));
        Value(name.to_owned())
    }

    /// Gives `value` the name of an output.
    pub(crate) fn output(&mut self, value: &Value, name: &str, shape: &[Axis]) {
        self.push("Identity", &[value], name.to_owned(), &[]);
        self.graph.output.push(value_info(name, Element::F32, shape));
    }

    /// The tensor `name` as f32. A tensor that is missing or of another shape is noted, and building goes on.
    pub(crate) fn weight(&mut self, name: &str, shape: &[usize]) -> Value {
        let value = Value(name.to_owned());
        match self.weights.tensor(name, shape) {
            Ok(view) => {
                self.tensors.push((name.to_owned(), shape.to_vec()));
                self.graph.initializer.push(external(name, &view));
                if view.dtype == Dtype::F32 { value } else { self.cast(&value, Element::F32) }
            }
            Err(error) => {
                self.errors.push(error);
                value
            }
        }
    }

    /// The constant `[values.len()]` i64.
    pub(crate) fn i64s(&mut self, values: &[i64]) -> Value {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(DataType::Int64, vec![size(values.len())], data)
    }

    /// The constant `[]` i64, an index that takes its axis away.
    pub(crate) fn scalar_index(&mut self, value: i64) -> Value {
        self.constant(DataType::Int64, Vec::new(), value.to_le_bytes().to_vec())
    }

    /// The constant `[]` f32.
    pub(crate) fn scalar(&mut self, value: f32) -> Value {
        self.constant(DataType::Float, Vec::new(), value.to_le_bytes().to_vec())
    }

    pub(crate) fn cast(&mut self, value: &Value, to: Element) -> Value {
        let to = i64::from(i32::from(DataType::from(to)));
        self.op("Cast", &[value], &[Attribute::Int("to", to)])
    }

    /// Adds an operation with one output.
    pub(crate) fn op(&mut self, kind: &str, inputs: &[&Value], attributes: &[Attribute<'_>]) -> Value {
        let output = self.fresh();
        self.push(kind, inputs, output.clone(), attributes);
        Value(output)
    }

    pub(crate) fn finish(self) -> Graph {
        let opset = OperatorSetIdProto { domain: String::new(), version: OPSET };
        let model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: "unclip".to_owned(),
            graph: Some(self.graph),
            opset_import: vec![opset],
        };
        let first = self.weights.files().next().map(real);
        Graph {
            bytes: model.encode_to_vec(),
            weights: first.and_then(|file| file.parent().map(Path::to_path_buf)).unwrap_or_default(),
            errors: self.errors,
            tensors: self.tensors,
        }
    }

    fn push(&mut self, kind: &str, inputs: &[&Value], output: String, attributes: &[Attribute<'_>]) {
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|value| value.0.clone()).collect(),
            name: output.clone(),
            output: vec![output],
            op_type: kind.to_owned(),
            attribute: attributes.iter().map(attribute).collect(),
        });
    }

    fn constant(&mut self, data_type: DataType, dims: Vec<i64>, raw_data: Vec<u8>) -> Value {
        let name = self.fresh();
        self.graph.initializer.push(TensorProto {
            dims,
            data_type: data_type.into(),
            name: name.clone(),
            raw_data,
            ..TensorProto::default()
        });
        Value(name)
    }

    /// A name that no tensor of a checkpoint has.
    fn fresh(&mut self) -> String {
        self.values += 1;
        format!("/{}", self.values)
    }
}

fn external(name: &str, view: &TensorView<'_>) -> TensorProto {
    let data_type = match view.dtype {
        Dtype::F32 => DataType::Float,
        Dtype::F16 => DataType::Float16,
        Dtype::Bf16 => DataType::Bfloat16,
    };
    let entry = |key: &str, value: String| StringStringEntryProto { key: key.to_owned(), value };
    TensorProto {
        dims: view.shape.iter().map(|&length| size(length)).collect(),
        data_type: data_type.into(),
        name: name.to_owned(),
        external_data: vec![
            entry("location", location(view.file)),
            entry("offset", view.offset.to_string()),
            entry("length", view.data.len().to_string()),
        ],
        data_location: DataLocation::External.into(),
        ..TensorProto::default()
    }
}

/// Weights and graph lie in one folder, so the file's name is its relative path. ONNX Runtime refuses to leave the folder,
/// also through a symbolic link (huggingface_hub's cache has those), so links are followed here.
fn location(file: &Path) -> String {
    let file = real(file);
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The file that a path leads to. It exists: it is mapped.
fn real(file: &Path) -> PathBuf {
    file.canonicalize().unwrap_or_else(|_| file.to_path_buf())
}

fn value_info(name: &str, element: Element, shape: &[Axis]) -> ValueInfoProto {
    let dimension = |axis: &Axis| Dimension {
        value: Some(match axis {
            Axis::Batch => dimension::Value::DimParam("batch".to_owned()),
            Axis::Size(length) => dimension::Value::DimValue(size(*length)),
        }),
    };
    let shape = TensorShapeProto { dim: shape.iter().map(dimension).collect() };
    let tensor = type_proto::Tensor { elem_type: DataType::from(element).into(), shape: Some(shape) };
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
}

fn attribute(attribute: &Attribute<'_>) -> AttributeProto {
    let (name, r#type) = match attribute {
        Attribute::Float(name, _) => (name, AttributeType::Float),
        Attribute::Int(name, _) => (name, AttributeType::Int),
        Attribute::Ints(name, _) => (name, AttributeType::Ints),
    };
    let mut proto =
        AttributeProto { name: (*name).to_owned(), r#type: r#type.into(), ..AttributeProto::default() };
    match attribute {
        Attribute::Float(_, value) => proto.f = *value,
        Attribute::Int(_, value) => proto.i = *value,
        Attribute::Ints(_, values) => proto.ints = values.to_vec(),
    }
    proto
}

/// ONNX counts in i64. No length in memory exceeds it.
pub(crate) fn size(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
