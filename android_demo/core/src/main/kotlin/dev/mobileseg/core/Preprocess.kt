package dev.mobileseg.core

import java.nio.ByteBuffer
import java.nio.ByteOrder

private const val BYTE = 0xff
private const val VALUES = 256
private const val ZERO = 128

/** What each byte of the image becomes in a float tensor: 256 values. */
fun byteTable(spec: InputSpec): FloatArray =
    FloatArray(VALUES) { byte -> if (spec.normalizedOutside) (byte - spec.mean) / spec.std else byte.toFloat() }

/**
 * Leaves out alpha and maps each byte: the one pass over pixels, from a bitmap's memory to the model's.
 *
 * Android hands a bitmap out in one copy, as words whose bytes are R, G, B, A. No call of the platform drops the alpha,
 * so it is done here, by words: four pixels are four words, and three words of a tensor of bytes.
 *
 * @param input the tensor's memory, `[height, width, 3]`, direct and in native order
 */
class Packer(
    spec: InputSpec,
    private val input: ByteBuffer,
) {
    private val pixels = spec.height * spec.width
    private val floats = spec.dtype == "float32"
    private val table = byteTable(spec)
    private val flip = if (spec.dtype == "int8") ZERO or (ZERO shl 8) or (ZERO shl 16) or (ZERO shl 24) else 0
    private val words = IntArray(if (floats) 0 else pixels / 4 * 3)
    private val values = FloatArray(if (floats) pixels * 3 else 0)

    /** @param rgba one word per pixel, its bytes R, G, B, A from the lowest */
    fun pack(rgba: IntArray) {
        require(rgba.size == pixels) { "${rgba.size} pixels, $pixels expected" }
        if (floats) packFloats(rgba) else packBytes(rgba)
    }

    private fun packBytes(rgba: IntArray) {
        var from = 0
        var to = 0
        while (to < words.size) {
            val second = rgba[from + 1]
            val third = rgba[from + 2]
            words[to] = ((rgba[from] and 0xffffff) or (second shl 24)) xor flip
            words[to + 1] = ((second ushr 8 and 0xffff) or (third shl 16)) xor flip
            words[to + 2] = ((third ushr 16 and BYTE) or (rgba[from + 3] shl 8)) xor flip
            from += 4
            to += 3
        }
        input.clear()
        input.asIntBuffer().put(words)
        for (pixel in from until pixels) { // those of a size that four does not divide
            for (channel in 0 until 3) {
                val byte = (rgba[pixel] ushr (8 * channel)) xor (flip and BYTE)
                input.put(3 * pixel + channel, byte.toByte())
            }
        }
    }

    private fun packFloats(rgba: IntArray) {
        var to = 0
        for (word in rgba) {
            values[to] = table[word and BYTE]
            values[to + 1] = table[word ushr 8 and BYTE]
            values[to + 2] = table[word ushr 16 and BYTE]
            to += 3
        }
        input.clear()
        input.asFloatBuffer().put(values)
    }
}

/** Memory that runtimes take without a copy. */
fun direct(bytes: Int): ByteBuffer = ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder())
