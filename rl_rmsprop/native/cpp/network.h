// The passes of one run's multilayer perceptron, for the instruction set that vector.h is included with.
//
//     h₁ = tanh(x W₁ + b₁),  h₂ = tanh(h₁ W₂ + b₂),  y = h₂ W₃ + b₃                     x: [B, O],  θ: W₁ [I, H], b₁ [H], W₂, …
//
// All of a run's numbers stay in the cache while they are used: with layers of 64 and 128 rows the weights are 18 KiB and a hidden
// layer 32 KiB. Every number of a product is a sum in the order of its terms, each added with one rounding (`fma`), so that it
// depends neither on the rows beside it nor on the width of the vectors. Hidden layers lie in rows filled up with zeros to whole
// Vecs, x and y do not.

namespace VECTOR_NAMESPACE {

INLINE long padded(long width) { return (width + LANES - 1) / LANES * LANES; }

// Copy `count` numbers, or sixteen if there are more.
INLINE void copy_some(float* to, const float* from, long count) {
    if (count >= LANES) store(to, load(from));
    else std::memcpy(to, from, count * sizeof(float));
}

INLINE void store_some(float* to, Vec a, long count) {
    float numbers[LANES];
    store(numbers, a);
    copy_some(to, numbers, count);
}

// Products ------------------------------------------------------------------------------------------------------------------

#if defined(VECTOR_AVX512)
constexpr int MOST_ROWS = 12;  // whose sums stay in registers
#elif defined(VECTOR_AVX2) || defined(VECTOR_NEON)
constexpr int MOST_ROWS = 6;
#else
constexpr int MOST_ROWS = 1;
#endif

// A matrix whose number (i, k) is p[i * row + k * column].
struct Matrix { const float* p; long row, column; };

// Sixteen columns of a matrix: row k is p[k * pitch …].
struct Columns { const float* p; long pitch; };

// finish(i, first + Σ_k a(i, k) b(k)) for ROWS rows of a from row i on.
template <int ROWS, class Finish>
INLINE void multiply_rows(long i, Matrix a, Columns b, long count, Vec first, Finish finish) {
    Vec sums[ROWS];
    const float* rows = a.p + i * a.row;
    for (int r = 0; r < ROWS; r++) sums[r] = first;
    for (long k = 0; k < count; k++) {
        Vec of_k = load(b.p + k * b.pitch);
        for (int r = 0; r < ROWS; r++) sums[r] = fma(all(rows[r * a.row + k * a.column]), of_k, sums[r]);
    }
    for (int r = 0; r < ROWS; r++) finish(i + r, sums[r]);
}

template <int ROWS, class Finish>
INLINE void multiply_some_rows(int rows, long i, Matrix a, Columns b, long count, Vec first, Finish finish) {
    if constexpr (ROWS > 1) {
        if (rows < ROWS) return multiply_some_rows<ROWS - 1>(rows, i, a, b, count, first, finish);
    }
    multiply_rows<ROWS>(i, a, b, count, first, finish);
}

// The same for all rows of a, in blocks that differ by one row at most.
template <class Finish>
INLINE void multiply(long rows, Matrix a, Columns b, long count, Vec first, Finish finish) {
    long i = 0;
    for (long blocks = (rows + MOST_ROWS - 1) / MOST_ROWS; blocks > 0; blocks--) {
        int some = (rows - i + blocks - 1) / blocks;
        multiply_some_rows<MOST_ROWS>(some, i, a, b, count, first, finish);
        i += some;
    }
}

// Σ_i a_i b_i, of numbers filled up with zeros.
INLINE float inner_product(const float* a, const float* b, long count) {
    Vec c = all(0);
    for (long i = 0; i < count; i += LANES) c = fma(load(a + i), load(b + i), c);
    return sum(c);
}

// A network's weights as the products read them -----------------------------------------------------------------------------

// Outputs of the last layer up to which each is an inner product: filled up to sixteen columns most of the work would be for nothing.
constexpr long NARROW = 8;

// One layer, packed and filled up with zeros.
struct Layer {
    long inputs, outputs;
    bool narrow;        // whether it is the last, and its outputs are few
    float* panels;      // W, sixteen columns after the other [H/16][I][16]; of a narrow layer Wᵀ [H][I]
    float* bias;        // [H]
    float* transposed;  // Wᵀ [I/16][H][16] for the gradient; of a narrow layer its panels
};

struct Network {
    const int* widths;
    int layers;

    bool narrow(int l) const { return l == layers - 1 && l > 0 && widths[l + 1] <= NARROW; }

    long panels_size(int l) const { return narrow(l) ? widths[l + 1] * padded(widths[l]) : widths[l] * padded(widths[l + 1]); }

    long transposed_size(int l) const { return narrow(l) ? 0 : widths[l + 1] * padded(widths[l]); }

    // Numbers of a run's packed weights.
    long packed_size() const {
        long size = 0;
        for (int l = 0; l < layers; l++) size += panels_size(l) + padded(widths[l + 1]) + transposed_size(l);
        return padded(size);
    }

    Layer layer(int l, float* packed) const {
        for (int i = 0; i < l; i++) packed += panels_size(i) + padded(widths[i + 1]) + transposed_size(i);
        float *bias = packed + panels_size(l), *transposed = narrow(l) ? packed : bias + padded(widths[l + 1]);
        return {widths[l], widths[l + 1], narrow(l), packed, bias, transposed};
    }

    // Numbers of the hidden layers before layer l, of so many rows: where the inputs of layer l > 0 begin is that of l − 1.
    long hidden_size(int l, long rows) const {
        long size = 0;
        for (int i = 1; i < l; i++) size += rows * padded(widths[i]);
        return size;
    }

    long parameters() const {
        long count = 0;
        for (int l = 0; l < layers; l++) count += (widths[l] + 1L) * widths[l + 1];
        return count;
    }

    long widest_hidden() const {
        long widest = 0;
        for (int l = 1; l < layers; l++) widest = padded(widths[l]) > widest ? padded(widths[l]) : widest;
        return widest;
    }
};

// Pack W [I, H] of a layer, its input i multiplied by gain[i] if there is a gain.
INLINE void pack_weight(Layer layer, const float* w, const float* gain) {
    for (long i = 0; i < layer.inputs; i++) {
        const float* row = w + i * layer.outputs;
        if (layer.narrow)
            for (long h = 0; h < layer.outputs; h++) layer.panels[h * padded(layer.inputs) + i] = row[h];
        else
            for (long h = 0; h < layer.outputs; h += LANES) {
                float* to = layer.panels + h * layer.inputs + i * LANES;
                copy_some(to, row + h, layer.outputs - h);
                if (gain) store(to, load(to) * all(gain[i]));
            }
    }
}

// Wᵀ from W, both packed.
INLINE void transpose(Layer layer) {
    long ins = layer.inputs, outs = layer.outputs;
    for (long i = 0; i < ins; i += LANES)
        for (long h = 0; h < outs; h++)
            for (long k = 0; k < LANES && i + k < ins; k++)
                layer.transposed[i * outs + h * LANES + k] = layer.panels[(h / LANES * ins + i + k) * LANES + h % LANES];
}

// Pack θ [P]. x is multiplied by gain [O] first, if there is one. `packed` begins as zeros.
static void pack(Network net, const float* theta, const float* gain, float* packed) {
    for (int l = 0; l < net.layers; l++) {
        Layer layer = net.layer(l, packed);
        pack_weight(layer, theta, l ? nullptr : gain);
        std::memcpy(layer.bias, theta + layer.inputs * layer.outputs, layer.outputs * sizeof(float));
        theta += (layer.inputs + 1) * layer.outputs;
    }
}

// Forwards ------------------------------------------------------------------------------------------------------------------

// Of a narrow layer, whose inputs are a hidden layer's.
INLINE void forward_narrow(Layer layer, long rows, const float* x, float* y) {
    for (long b = 0; b < rows; b++)
        for (long h = 0; h < layer.outputs; h++) {
            const float* w = layer.panels + h * padded(layer.inputs);
            y[b * layer.outputs + h] = inner_product(x + b * padded(layer.inputs), w, padded(layer.inputs)) + layer.bias[h];
        }
}

// From x [B, O] to y [B, A]; the hidden layers stay in `hidden`.
static void forward(Network net, long rows, float* packed, const float* x, float* hidden, float* y) {
    int last = net.layers - 1;
    Matrix in{x, net.widths[0], 1};
    for (int l = 0; l <= last; l++) {
        Layer layer = net.layer(l, packed);
        if (layer.narrow) {
            forward_narrow(layer, rows, in.p, y);
            return;
        }
        long pitch = l == last ? layer.outputs : padded(layer.outputs);
        float* out = l == last ? y : hidden + net.hidden_size(l + 1, rows);
        for (long h = 0; h < layer.outputs; h += LANES) {
            Columns w{layer.panels + h * layer.inputs, LANES};
            Vec bias = load(layer.bias + h);
            float* to = out + h;
            if (l == last) {
                long some = layer.outputs - h;
                multiply(rows, in, w, layer.inputs, bias, [=](long b, Vec c) { store_some(to + b * pitch, c, some); });
            } else {
                multiply(rows, in, w, layer.inputs, bias, [=](long b, Vec c) { store(to + b * pitch, tanh_of(c)); });
            }
        }
        in = {out, pitch, 1};
    }
}

// Back ----------------------------------------------------------------------------------------------------------------------

// ∂W = xᵀδ [I, H] and ∂b = Σ δ [H] of a layer, from its inputs and the gradient δ of its outputs, filled up to whole Vecs.
INLINE void gradient_of(Layer layer, long rows, Matrix x, const float* delta, float* w, float* bias) {
    long pitch = padded(layer.outputs), outs = layer.outputs;
    for (long h = 0; h < outs; h += LANES) {
        long some = outs - h;
        Matrix transposed{x.p, x.column, x.row};
        multiply(layer.inputs, transposed, {delta + h, pitch}, rows, all(0), [=](long i, Vec c) { store_some(w + i * outs + h, c, some); });
        Vec total = all(0);
        for (long b = 0; b < rows; b++) total = total + load(delta + b * pitch + h);
        store_some(bias + h, total, some);
    }
}

// The same of a narrow layer, whose δ [B, H] is not filled up.
INLINE void gradient_of_narrow(Layer layer, long rows, Matrix x, const float* delta, float* w, float* bias) {
    long ins = layer.inputs, outs = layer.outputs;
    for (long i = 0; i < ins; i += LANES) {
        long some = ins - i < LANES ? ins - i : LANES;
        multiply(outs, {delta, 1, outs}, {x.p + i, x.row}, rows, all(0), [=](long h, Vec c) {
            float column[LANES];
            store(column, c);
            for (long k = 0; k < some; k++) w[(i + k) * outs + h] = column[k];
        });
    }
    for (long h = 0; h < outs; h++) {
        float total = 0;
        for (long b = 0; b < rows; b++) total += delta[b * outs + h];
        bias[h] = total;
    }
}

// δ of a layer's inputs h, which are tanh: (δ Wᵀ)(1 − h²), from the gradient of its outputs.
INLINE void delta_of_inputs(Layer layer, long rows, Matrix h, Matrix delta, float* out) {
    if (!layer.narrow) transpose(layer);
    for (long i = 0; i < layer.inputs; i += LANES) {
        Columns w{layer.transposed + (layer.narrow ? i : i * layer.outputs), layer.narrow ? padded(layer.inputs) : LANES};
        multiply(rows, delta, w, layer.outputs, all(0), [=](long b, Vec c) {
            Vec tanh = load(h.p + b * h.row + i);
            store(out + b * h.row + i, c * fma(all(0) - tanh, tanh, all(1)));
        });
    }
}

// Numbers of memory that `backward` works in.
INLINE long work_size(Network net, long rows) { return rows * (2 * net.widest_hidden() + padded(net.widths[net.layers])); }

// The gradient with respect to θ [P], from δ [B, A], that with respect to y. After `forward` of the same memory. `work` begins as
// zeros.
static void backward(Network net, long rows, float* packed, const float* gain, const float* x, const float* hidden,
                     const float* delta_y, float* gradient, float* work) {
    long outputs = net.widths[net.layers];
    float* memory[2] = {work, work + rows * net.widest_hidden()};
    Matrix delta{delta_y, outputs, 1};
    if (!net.narrow(net.layers - 1)) {
        float* filled_up = work + rows * 2 * net.widest_hidden();
        for (long b = 0; b < rows; b++) std::memcpy(filled_up + b * padded(outputs), delta_y + b * outputs, outputs * sizeof(float));
        delta = {filled_up, padded(outputs), 1};
    }
    float* w = gradient + net.parameters();
    for (int l = net.layers - 1; l >= 0; l--) {
        Layer layer = net.layer(l, packed);
        Matrix in = l ? Matrix{hidden + net.hidden_size(l, rows), padded(layer.inputs), 1} : Matrix{x, layer.inputs, 1};
        w -= (layer.inputs + 1) * layer.outputs;
        (layer.narrow ? gradient_of_narrow : gradient_of)(layer, rows, in, delta.p, w, w + layer.inputs * layer.outputs);
        if (l) {
            float* out = memory[l % 2];
            delta_of_inputs(layer, rows, in, delta, out);
            delta = {out, in.row, 1};
        } else if (gain) {
            for (long i = 0; i < layer.inputs; i++)
                for (long h = 0; h < layer.outputs; h++) w[i * layer.outputs + h] *= gain[i];
        }
    }
}

// Of all runs ---------------------------------------------------------------------------------------------------------------

// θ [R, P], `stride` numbers from run to run, packed.
static void pack_runs(Network net, long runs, const float* theta, long stride, const float* gain, float* packed) {
    for (long r = 0; r < runs; r++) pack(net, theta + r * stride, gain, packed + r * net.packed_size());
}

// From x [R, B, O] to y [R, B, A].
static void forward_runs(Network net, long runs, long rows, float* packed, const float* x, float* hidden, float* y) {
    long last = net.layers, O = net.widths[0], A = net.widths[last];
    for (long r = 0; r < runs; r++)
        forward(net, rows, packed + r * net.packed_size(), x + r * rows * O, hidden + r * net.hidden_size(last, rows), y + r * rows * A);
}

// The gradient with respect to θ, [R, P] with `stride` numbers from run to run.
static void backward_runs(Network net, long runs, long rows, float* packed, const float* gain, const float* x, const float* hidden,
                          const float* delta, float* gradient, long stride, float* work) {
    long last = net.layers, O = net.widths[0], A = net.widths[last];
    for (long r = 0; r < runs; r++)
        backward(net, rows, packed + r * net.packed_size(), gain, x + r * rows * O, hidden + r * net.hidden_size(last, rows),
                 delta + r * rows * A, gradient + r * stride, work);
}

}  // namespace
