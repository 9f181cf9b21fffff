//! Prints the reference of the contracts as Markdown, out of the comments in the `.proto` files. `make docs` writes it to
//! `docs/grpc.md`, and `make lint` fails when that file has drifted.

use std::collections::HashMap;
use std::fmt::Write as _;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    ServiceDescriptorProto,
};

/// Comments by the path that descriptor.proto defines: field numbers and indices from the file down.
type Comments = HashMap<Vec<i32>, String>;

// Field numbers of descriptor.proto.
const FILE_MESSAGES: i32 = 4;
const FILE_ENUMS: i32 = 5;
const FILE_SERVICES: i32 = 6;
const MEMBERS: i32 = 2;

#[expect(clippy::print_stdout, reason = "printing is what this program is for")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let set = FileDescriptorSet::decode(unclip_proto::FILE_DESCRIPTOR_SET)?;
    let mut page = String::from(
        "# gRPC reference\n\nPackage `unclip.v1`. Made by `make docs` from the comments in `proto/unclip/v1`; don't edit.\n",
    );
    let files: Vec<_> = set.file.iter().filter(|file| file.package() == "unclip.v1").collect();
    for file in &files {
        let comments = comments(file);
        for (service, index) in file.service.iter().zip(0..) {
            write_service(&mut page, service, &comments, &[FILE_SERVICES, index])?;
        }
    }
    for file in &files {
        let comments = comments(file);
        for (message, index) in file.message_type.iter().zip(0..) {
            write_message(&mut page, message, &comments, &[FILE_MESSAGES, index])?;
        }
        for (list, index) in file.enum_type.iter().zip(0..) {
            write_enum(&mut page, list, &comments, &[FILE_ENUMS, index])?;
        }
    }
    print!("{page}");
    Ok(())
}

fn comments(file: &FileDescriptorProto) -> Comments {
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    locations.map(|place| (place.path.clone(), one_line(place.leading_comments()))).collect()
}

fn one_line(comment: &str) -> String {
    comment.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn comment<'a>(comments: &'a Comments, path: &[i32], tail: &[i32]) -> &'a str {
    comments.get(&[path, tail].concat()).map_or("", String::as_str)
}

fn write_service(
    page: &mut String,
    service: &ServiceDescriptorProto,
    comments: &Comments,
    path: &[i32],
) -> std::fmt::Result {
    writeln!(page, "\n## {}\n\n{}\n", service.name(), comment(comments, path, &[]))?;
    writeln!(page, "| RPC | request | response | |\n|---|---|---|---|")?;
    for (method, index) in service.method.iter().zip(0..) {
        let stream = if method.server_streaming() { "stream of " } else { "" };
        let (request, response) = (link(method.input_type()), link(method.output_type()));
        let text = comment(comments, path, &[MEMBERS, index]);
        writeln!(page, "| `{}` | {request} | {stream}{response} | {text} |", method.name())?;
    }
    Ok(())
}

fn write_message(
    page: &mut String,
    message: &DescriptorProto,
    comments: &Comments,
    path: &[i32],
) -> std::fmt::Result {
    writeln!(page, "\n### {}\n\n{}", message.name(), comment(comments, path, &[]))?;
    if message.field.is_empty() {
        return Ok(());
    }
    writeln!(page, "\n| field | type | |\n|---|---|---|")?;
    for (field, index) in message.field.iter().zip(0..) {
        let text = comment(comments, path, &[MEMBERS, index]);
        writeln!(
            page,
            "| `{}` = {} | {} | {text} |",
            field.name(),
            field.number(),
            field_type(message, field)
        )?;
    }
    Ok(())
}

fn write_enum(
    page: &mut String,
    list: &EnumDescriptorProto,
    comments: &Comments,
    path: &[i32],
) -> std::fmt::Result {
    writeln!(page, "\n### {}\n\n{}\n", list.name(), comment(comments, path, &[]))?;
    writeln!(page, "| value | |\n|---|---|")?;
    for (value, index) in list.value.iter().zip(0..) {
        let text = comment(comments, path, &[MEMBERS, index]);
        writeln!(page, "| `{}` = {} | {text} |", value.name(), value.number())?;
    }
    Ok(())
}

fn field_type(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let name = match field.r#type() {
        Type::Message | Type::Enum => link(field.type_name()),
        scalar => format!("{scalar:?}").to_lowercase(),
    };
    if field.proto3_optional() {
        return format!("optional {name}");
    }
    let one_of = field.oneof_index.and_then(|index| message.oneof_decl.get(usize::try_from(index).ok()?));
    match (field.label(), one_of) {
        (Label::Repeated, _) => format!("repeated {name}"),
        (_, Some(one_of)) => format!("{name}, one of `{}`", one_of.name()),
        _ => name,
    }
}

fn link(type_name: &str) -> String {
    let name = type_name.rsplit('.').next().unwrap_or(type_name);
    format!("[{name}](#{})", name.to_lowercase())
}
