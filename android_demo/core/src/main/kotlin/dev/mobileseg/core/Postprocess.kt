package dev.mobileseg.core

import java.nio.ByteBuffer

/** Element types of outputs that are read here. */
val OUTPUT_TYPES = listOf("uint8", "int8", "float32", "int32", "int64")

private const val BYTE = 0xff
private const val OPAQUE = 0xff shl 24

/**
 * The mask at the input's size; made once per model and written over for every frame, in one pass.
 *
 * [labels] are class ids. [pixels] are their colours as a bitmap has them in memory: words whose bytes are R, G, B, A.
 */
class Mask(
    manifest: Manifest,
) {
    val height = manifest.input.height
    val width = manifest.input.width
    val labels = ByteArray(height * width)
    val pixels = IntArray(height * width)
    private val rows = manifest.output.height
    private val columns = manifest.output.width
    private val depth = manifest.classes.size
    private val givesLabels = manifest.output.givesLabels
    private val colours = paletteWords(manifest.palette)
    private val counts = IntArray(BYTE + 1)
    private val best = IntArray(rows * columns)
    private val vertical = Samples(rows, height)
    private val horizontal = Samples(columns, width)
    private val nearestRow = nearest(rows, height)
    private val nearestColumn = nearest(columns, width)
    private val low = FloatArray(depth)
    private val slope = FloatArray(depth)
    private val reader = readerOf(manifest.output.dtype, rows * columns * if (givesLabels) 1 else depth)

    /** @param output the tensor's memory, direct and in native order */
    fun update(output: ByteBuffer) {
        output.clear()
        counts.fill(0)
        reader(output)
    }

    /** Each class's share of the mask, 0 to 1. */
    fun shares(): FloatArray = FloatArray(depth) { counts[it].toFloat() / labels.size }

    /** The class at a pixel of the mask. */
    fun labelAt(
        x: Int,
        y: Int,
    ): Int = labels[y * width + x].toInt() and BYTE

    /**
     * One copy of the loops per element type, over an array on the heap: reading each value through an interface, or
     * from a direct buffer, would cost more than what is done with it.
     */
    private fun readerOf(
        dtype: String,
        size: Int,
    ): (ByteBuffer) -> Unit =
        when (dtype) {
            "uint8" -> ByteArray(size).let { v ->
                {
                    it.get(v)
                    fill { at -> (v[at].toInt() and BYTE).toFloat() }
                }
            }
            "int8" -> ByteArray(size).let { v ->
                {
                    it.get(v)
                    fill { at -> v[at].toFloat() }
                }
            }
            "float32" -> FloatArray(size).let { v ->
                {
                    it.asFloatBuffer().get(v)
                    fill { at -> v[at] }
                }
            }
            "int32" -> IntArray(size).let { v ->
                {
                    it.asIntBuffer().get(v)
                    fill { at -> v[at].toFloat() }
                }
            }
            "int64" -> LongArray(size).let { v ->
                {
                    it.asLongBuffer().get(v)
                    fill { at -> v[at].toFloat() }
                }
            }
            else -> throw DemoError("This app does not read outputs of $dtype, only $OUTPUT_TYPES. Export it again.")
        }

    /** @param at the value at an index of the tensor; integers need no scale, which is one positive number */
    private inline fun fill(at: (Int) -> Float) {
        if (givesLabels) fromLabels { at(it).toInt() } else fromLogits(at)
    }

    /** Class ids as they are, at the nearest pixel where sizes differ. */
    private inline fun fromLabels(id: (Int) -> Int) {
        var to = 0
        for (y in 0 until height) {
            val row = nearestRow[y] * columns
            for (x in 0 until width) set(to++, id(row + nearestColumn[x]).coerceIn(0, BYTE))
        }
    }

    /**
     * Logits enlarged bilinearly (half-pixel centres), then the largest wins, the first of equals.
     *
     * Where the four logits around a pixel agree on the class, so does everything between them: an average of four
     * numbers that are each the largest of theirs is the largest. Only the cells at borders are interpolated.
     */
    private inline fun fromLogits(at: (Int) -> Float) {
        for (place in best.indices) {
            var label = 0
            for (c in 1 until depth) if (at(place * depth + c) > at(place * depth + label)) label = c
            best[place] = label
        }
        if (rows == height && columns == width) return fromLabels { best[it] }
        for (y in 0 until height) {
            val top = vertical.low[y] * columns
            val bottom = vertical.high[y] * columns
            for (run in 0 until horizontal.starts.size - 1) {
                val start = horizontal.starts[run]
                val stop = horizontal.starts[run + 1]
                val left = horizontal.low[start]
                val right = horizontal.high[start]
                val label = best[top + left]
                if (label == best[top + right] && label == best[bottom + left] && label == best[bottom + right]) {
                    for (x in start until stop) set(y * width + x, label)
                } else {
                    slopes(vertical.share[y], top + left, top + right, bottom + left, bottom + right, at)
                    for (x in start until stop) set(y * width + x, bestBetween(horizontal.share[x]))
                }
            }
        }
    }

    /** Each class's logit at the cell's left side, and how it changes to the right, at a height within the cell. */
    private inline fun slopes(
        down: Float,
        topLeft: Int,
        topRight: Int,
        bottomLeft: Int,
        bottomRight: Int,
        at: (Int) -> Float,
    ) {
        for (c in 0 until depth) {
            val left = at(topLeft * depth + c)
            val right = at(topRight * depth + c)
            low[c] = left + (at(bottomLeft * depth + c) - left) * down
            slope[c] = right + (at(bottomRight * depth + c) - right) * down - low[c]
        }
    }

    private fun bestBetween(across: Float): Int {
        var label = 0
        var most = low[0] + slope[0] * across
        for (c in 1 until depth) {
            val value = low[c] + slope[c] * across
            if (value > most) {
                most = value
                label = c
            }
        }
        return label
    }

    private fun set(
        place: Int,
        label: Int,
    ) {
        labels[place] = label.toByte()
        pixels[place] = colours[label]
        counts[label]++
    }
}

/** The classes' colours as words of a bitmap's memory; what is beyond the palette is transparent. */
fun paletteWords(palette: List<Int>): IntArray =
    IntArray(BYTE + 1) { label ->
        palette.getOrNull(label)?.let { colour ->
            OPAQUE or (colour and BYTE shl 16) or (colour and (BYTE shl 8)) or (colour ushr 16 and BYTE)
        } ?: 0
    }
