package dev.mobileseg.demo

import android.graphics.BitmapFactory
import dev.mobileseg.core.CrashMarker
import dev.mobileseg.core.DesktopEngine
import dev.mobileseg.core.EngineOptions
import dev.mobileseg.core.Golden
import dev.mobileseg.core.ModelEntry
import dev.mobileseg.core.Starter
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import java.io.File
import kotlin.math.abs

/** From a bitmap to a mask, with the platform's own graphics (Robolectric runs the real Skia). */
@RunWith(RobolectricTestRunner::class)
class SegmenterTest {
    private val application = RuntimeEnvironment.getApplication()

    private fun pixelsOf(
        picture: File,
        width: Int,
        height: Int,
    ): IntArray {
        val frames = FrameReader(width, height)
        frames.draw(BitmapFactory.decodeFile(picture.path))
        return IntArray(width * height).also(frames::read)
    }

    @Test
    fun `a picture of the model's size reaches it as it is, and its mask is Python's`() {
        val segmenter =
            Segmenter(
                ModelLibrary(application.assets),
                Starter(::DesktopEngine, CrashMarker(File(application.filesDir, "m"))),
            )
        val names =
            listOf(
                "street_int8_logits_uint8_0",
                "street_int8_logits_int8_1",
                "street_float32_logits_float_0",
                "ours_int8_1",
            )
        for (case in Golden.cases.filter { it.name in names }) {
            var opened: Opened? = null
            segmenter.open(ModelEntry(case.model.name, "", ""), EngineOptions()) { opened = it.getOrThrow() }
            waitUntil("the model") { opened != null }
            val input = requireNotNull(opened).manifest.input
            val pixels = pixelsOf(case.png, input.width, input.height)
            assertArrayEquals(case.name, case.rgba(), pixels)
            var done: Segmented? = null
            segmenter.segment(pixels::copyInto) { done = it.getOrThrow() }
            waitUntil("the mask") { done != null }
            assertEquals("", case.wrongIn(requireNotNull(done).mask.labels))
        }
        segmenter.close()
    }

    /**
     * Android's canvas, enlarging and reducing, against bilinear with half-pixel centres as trained with: pictures and
     * what Python makes of them, in `-Dresize=FOLDER` as `NAME.png` and `NAME.HEIGHTxWIDTH.rgb`.
     *
     * Skia's weights are sixteenths, so off by up to 1/32 on each axis: 16 of 255 at the steepest edge, and one for
     * rounding. On a scene that is half a step on average; with corners put on corners it is twice that.
     */
    @Test
    fun `the platform's resize is the one trained with`() {
        val expected = File(requireNotNull(System.getProperty("resize")))
            .listFiles { file ->
                file.extension == "rgb"
            }.orEmpty()
        assertTrue(expected.size >= 4)
        for (file in expected) {
            val (name, size) = file.nameWithoutExtension.split('.')
            val (height, width) = size.split('x').map(String::toInt)
            val found = pixelsOf(file.resolveSibling("$name.png"), width, height)
            val errors =
                file.readBytes().mapIndexed { at, byte ->
                    abs((byte.toInt() and 0xff) - (found[at / 3] ushr 8 * (at % 3) and 0xff))
                }
            assertTrue("$size: ${errors.max()}", errors.max() <= 17)
            assertTrue("$size: ${errors.average()}", errors.average() < 0.75)
        }
    }
}
