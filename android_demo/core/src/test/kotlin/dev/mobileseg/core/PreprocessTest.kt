package dev.mobileseg.core

import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Test
import java.nio.ByteBuffer
import kotlin.random.Random

class PreprocessTest {
    private fun pixels(count: Int) = Random(1).let { random -> IntArray(count) { random.nextInt() } }

    /** One byte after the other, as a reader of the manifest would write it. */
    private fun expected(
        rgba: IntArray,
    ) = rgba.flatMap { word -> List(3) { channel -> word ushr 8 * channel and 0xff } }

    private fun packed(
        spec: InputSpec,
        rgba: IntArray,
        size: Int,
    ): ByteBuffer = direct(rgba.size * 3 * size).also { Packer(spec, it).pack(rgba) }.apply { clear() }

    private fun spec(
        dtype: String,
        width: Int,
        normalized: Boolean = false,
    ) = InputSpec(1, width, dtype, mean = 127.5f, std = 63.75f, normalizedOutside = normalized)

    @Test
    fun `bytes are packed by words, whatever is left over`() {
        for (width in 1..13) {
            val rgba = pixels(width)
            val bytes = packed(spec("uint8", width), rgba, 1)
            assertEquals(expected(rgba), List(3 * width) { bytes.get(it).toInt() and 0xff })
            val signed = packed(spec("int8", width), rgba, 1)
            assertEquals(expected(rgba).map { it - 128 }, List(3 * width) { signed.get(it).toInt() })
        }
    }

    @Test
    fun `floats are bytes, or normalized ones`() {
        val rgba = pixels(7)
        val plain = packed(spec("float32", 7), rgba, 4).asFloatBuffer()
        assertEquals(expected(rgba).map { it.toFloat() }, List(21, plain::get))
        val normalized = packed(spec("float32", 7, normalized = true), rgba, 4).asFloatBuffer()
        assertArrayEquals(
            expected(rgba).map { (it - 127.5f) / 63.75f }.toFloatArray(),
            FloatArray(21, normalized::get),
            0f,
        )
    }

    @Test(expected = IllegalArgumentException::class)
    fun `a frame of another size is refused`() {
        packed(spec("uint8", 4), pixels(4), 1)
        Packer(spec("uint8", 4), direct(12)).pack(pixels(5))
    }
}
