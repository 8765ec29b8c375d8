import { ProtobufMessage } from './protobuf.js';

/** An ONNX model as plain values, and its encoding. Field numbers are those of onnx.proto (IR version 10). */

/** Element types by the names onnxruntime uses, with their numbers in the file. */
export const ELEMENT_TYPES = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7, bool: 9, uint4: 21 } as const;
export type ElementType = keyof typeof ELEMENT_TYPES;

export type Numbers = Float32Array | Uint8Array | Int8Array | Int32Array | BigInt64Array;

/** The type of an array's elements. */
export function elementType(numbers: Numbers): ElementType {
  if (numbers instanceof Float32Array) return 'float32';
  if (numbers instanceof Uint8Array) return 'uint8';
  if (numbers instanceof Int8Array) return 'int8';
  return numbers instanceof Int32Array ? 'int32' : 'int64';
}

/** A number, or the name of a length known only when the graph runs. */
export type Dimension = number | string;

export type Attribute = { int: number } | { float: number } | { ints: readonly number[] };

export interface ValueInfo {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly Dimension[];
}

export interface Node {
  readonly operator: string;
  /** `''` for ONNX's own operators, `com.microsoft` for onnxruntime's. */
  readonly domain: string;
  /** Names of values; `''` leaves an optional input out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** A constant of the graph: its bytes stand in the model itself, or in a file beside it. */
export interface Initializer {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
  readonly data: Uint8Array | { readonly file: string; readonly offset: number; readonly bytes: number };
}

export interface Graph {
  readonly name: string;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly initializers: readonly Initializer[];
  readonly nodes: readonly Node[];
}

const IR_VERSION = 10;
const OPSETS = { '': 21, 'com.microsoft': 1 };

/** The graph as the bytes of an .onnx file. */
export function encodeModel(graph: Graph): Uint8Array {
  const model = new ProtobufMessage().integer(1, IR_VERSION).text(2, 'moralscope').message(7, encodeGraph(graph));
  for (const [domain, version] of Object.entries(OPSETS))
    model.message(8, new ProtobufMessage().text(1, domain).integer(2, version));
  return model.encode();
}

function encodeGraph(graph: Graph): ProtobufMessage {
  const out = new ProtobufMessage();
  for (const [index, node] of graph.nodes.entries()) out.message(1, encodeNode(node, `${index}.${node.operator}`));
  out.text(2, graph.name);
  for (const initializer of graph.initializers) out.message(5, encodeInitializer(initializer));
  for (const input of graph.inputs) out.message(11, encodeValueInfo(input));
  for (const output of graph.outputs) out.message(12, encodeValueInfo(output));
  return out;
}

function encodeNode(node: Node, name: string): ProtobufMessage {
  const out = new ProtobufMessage();
  for (const input of node.inputs) out.text(1, input);
  for (const output of node.outputs) out.text(2, output);
  out.text(3, name).text(4, node.operator);
  for (const [key, value] of Object.entries(node.attributes)) out.message(5, encodeAttribute(key, value));
  return out.text(7, node.domain);
}

function encodeAttribute(name: string, value: Attribute): ProtobufMessage {
  const out = new ProtobufMessage().text(1, name);
  if ('float' in value) return out.float(2, value.float).integer(20, 1);
  if ('int' in value) return out.integer(3, value.int).integer(20, 2);
  for (const number of value.ints) out.integer(8, number);
  return out.integer(20, 7);
}

function encodeInitializer({ name, type, shape, data }: Initializer): ProtobufMessage {
  const out = new ProtobufMessage();
  for (const length of shape) out.integer(1, length);
  out.integer(2, ELEMENT_TYPES[type]).text(8, name);
  if (data instanceof Uint8Array) return out.bytes(9, data);
  const place = { location: data.file, offset: String(data.offset), length: String(data.bytes) };
  for (const [key, value] of Object.entries(place)) out.message(13, new ProtobufMessage().text(1, key).text(2, value));
  return out.integer(14, 1);
}

function encodeValueInfo({ name, type, shape }: ValueInfo): ProtobufMessage {
  const dimensions = new ProtobufMessage();
  for (const length of shape)
    dimensions.message(
      1,
      typeof length === 'string' ? new ProtobufMessage().text(2, length) : new ProtobufMessage().integer(1, length),
    );
  const tensor = new ProtobufMessage().integer(1, ELEMENT_TYPES[type]).message(2, dimensions);
  return new ProtobufMessage().text(1, name).message(2, new ProtobufMessage().message(1, tensor));
}
