package dev.mobileseg.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import java.nio.ByteBuffer
import kotlin.random.Random

class PostprocessTest {
    private val random = Random(2)

    private fun buffer(
        dtype: String,
        values: List<Int>,
    ): ByteBuffer {
        val into = direct(8 * values.size)
        for (value in values) {
            when (dtype) {
                "float32" -> into.putFloat(value.toFloat())
                "int32" -> into.putInt(value)
                "int64" -> into.putLong(value.toLong())
                else -> into.put(value.toByte())
            }
        }
        return into.apply { flip() }
    }

    /** Bilinear enlarging and argmax, pixel by pixel, in double precision; null where two classes are too close. */
    private fun plain(
        logits: List<Int>,
        manifest: Manifest,
    ): List<Int?> {
        val (rows, columns, depth) = Triple(manifest.output.height, manifest.output.width, manifest.classes.size)

        fun place(
            pixel: Int,
            had: Int,
            wanted: Int,
        ) = ((pixel + 0.5) * had / wanted - 0.5).coerceIn(0.0, had - 1.0)

        fun value(
            y: Int,
            x: Int,
            c: Int,
        ) = logits[(minOf(y, rows - 1) * columns + minOf(x, columns - 1)) * depth + c].toDouble()
        return List(manifest.input.height * manifest.input.width) { pixel ->
            val y = place(pixel / manifest.input.width, rows, manifest.input.height)
            val x = place(pixel % manifest.input.width, columns, manifest.input.width)
            val (top, left) = y.toInt() to x.toInt()
            val scores =
                List(depth) { c ->
                    (value(top, left, c) * (1 - (x - left)) + value(top, left + 1, c) * (x - left)) * (1 - (y - top)) +
                        (value(top + 1, left, c) * (1 - (x - left)) + value(top + 1, left + 1, c) * (x - left)) *
                        (y - top)
                }
            val order = scores.indices.sortedByDescending { scores[it] }
            order[0].takeIf { scores[order[0]] - scores[order[1]] > 1e-4 }
        }
    }

    @Test
    fun `logits of every type and size are enlarged, then the largest wins`() {
        for (dtype in listOf("float32", "int8", "uint8")) {
            for ((input, output) in listOf(
                (8 to 12) to (4 to 6),
                (7 to 9) to (2 to 3),
                (5 to 5) to (1 to 1),
                (4 to 6) to (4 to 6),
            )) {
                val manifest = manifestOf(input, output, outputType = dtype, classes = 4)
                val range = if (dtype == "uint8") 0..255 else -128..127
                val logits = List(output.first * output.second * 4) { range.random(random) }
                val mask = Mask(manifest).apply { update(buffer(dtype, logits)) }
                plain(logits, manifest).forEachIndexed { at, label ->
                    if (label != null) assertEquals("$dtype $input $output $at", label, mask.labels[at].toInt())
                }
            }
        }
    }

    @Test
    fun `the first of equals wins`() {
        val mask = Mask(manifestOf(1 to 1)).apply { update(buffer("float32", listOf(5, 5, 1))) }
        assertEquals(0, mask.labelAt(0, 0))
    }

    @Test
    fun `class ids of every type are taken as they are`() {
        for (dtype in OUTPUT_TYPES) {
            val manifest = manifestOf(2 to 2, kind = "labels", outputType = dtype)
            val mask = Mask(manifest).apply { update(buffer(dtype, listOf(0, 2, 1, 2))) }
            assertEquals(listOf(0, 2, 1, 2), mask.labels.map { it.toInt() })
            assertEquals(listOf(0.25f, 0.25f, 0.5f), mask.shares().toList())
        }
    }

    @Test
    fun `ids of another size are taken from the nearest pixel`() {
        val mask = Mask(manifestOf(2 to 4, 1 to 2, kind = "labels", outputType = "int32"))
        mask.update(buffer("int32", listOf(1, 2)))
        assertEquals(listOf(1, 1, 2, 2, 1, 1, 2, 2), mask.labels.map { it.toInt() })
    }

    @Test
    fun `colours are words of a bitmap's memory, nothing is beyond them`() {
        val words = paletteWords(listOf(0x112233))
        assertEquals(0xff332211.toInt(), words[0])
        assertTrue(words.drop(1).all { it == 0 })
        val mask = Mask(manifestOf(1 to 2, kind = "labels", outputType = "int32"))
        mask.update(buffer("int32", listOf(1, 9_999)))
        assertEquals(listOf(0xff312010.toInt(), 0), mask.pixels.toList())
    }
}
