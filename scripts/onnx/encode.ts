/**
 * Writes a feed-forward network as an ONNX model: the few messages of onnx.proto (IR version 8, opset 13) that it
 * takes, in protobuf's wire format.
 */

/** `activation(x · weights + bias)`; weights by input, then by output. */
export interface Layer {
  inputs: number;
  outputs: number;
  weights: Float32Array;
  bias: Float32Array;
  activation: 'Relu' | 'Sigmoid';
}

const FLOAT = 1;

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return [...bytes, rest];
}

const number = (field: number, value: number) => [...varint(field * 8), ...varint(value)];
const bytes = (field: number, value: ArrayLike<number>) => [
  ...varint(field * 8 + 2),
  ...varint(value.length),
  ...Array.from(value),
];
const text = (field: number, value: string) => bytes(field, new TextEncoder().encode(value));

/** TensorProto. */
function tensor(name: string, dimensions: readonly number[], values: Float32Array): number[] {
  const raw = new DataView(new ArrayBuffer(values.length * 4));
  for (const [n, value] of values.entries()) raw.setFloat32(n * 4, value, true);
  return [
    ...dimensions.flatMap((dimension) => number(1, dimension)),
    ...number(2, FLOAT),
    ...text(8, name),
    ...bytes(9, new Uint8Array(raw.buffer)),
  ];
}

/** ValueInfoProto of a float matrix with a free number of rows. */
function matrix(name: string, columns: number): number[] {
  const shape = [...bytes(1, text(2, 'batch')), ...bytes(1, number(1, columns))];
  return [...text(1, name), ...bytes(2, bytes(1, [...number(1, FLOAT), ...bytes(2, shape)]))];
}

/** NodeProto. */
function node(operator: string, inputs: readonly string[], output: string): number[] {
  return [...inputs.flatMap((input) => text(1, input)), ...text(2, output), ...text(4, operator)];
}

export function encodeModel(layers: readonly Layer[]): Uint8Array {
  const [first] = layers;
  const last = layers.at(-1);
  if (!first || !last) throw new Error('a model needs a layer');
  const nodes: number[] = [];
  const initializers: number[] = [];
  let input = 'features';
  for (const [n, { inputs, outputs, weights, bias, activation }] of layers.entries()) {
    const output = n === layers.length - 1 ? 'score' : `layer${n}`;
    nodes.push(
      ...bytes(1, node('Gemm', [input, `weights${n}`, `bias${n}`], `sum${n}`)),
      ...bytes(1, node(activation, [`sum${n}`], output)),
    );
    initializers.push(
      ...bytes(5, tensor(`weights${n}`, [inputs, outputs], weights)),
      ...bytes(5, tensor(`bias${n}`, [outputs], bias)),
    );
    input = output;
  }
  const graph = [
    ...nodes,
    ...text(2, 'weir'),
    ...initializers,
    ...bytes(11, matrix('features', first.inputs)),
    ...bytes(12, matrix('score', last.outputs)),
  ];
  const opset = [...text(1, ''), ...number(2, 13)];
  return Uint8Array.from([...number(1, 8), ...text(2, 'weir'), ...bytes(7, graph), ...bytes(8, opset)]);
}
