package dev.mobileseg.demo

import android.graphics.Bitmap
import android.graphics.Canvas
import android.widget.TextView
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config
import java.io.File

/** `-Dscreenshot=FILE` keeps the picture that the documentation shows, of `-Dpicture=FILE`. */
@RunWith(RobolectricTestRunner::class)
class PictureOfTheScreenTest {
    @Test
    @Config(qualifiers = "w411dp-h891dp-port-hdpi")
    fun `the screen is drawn`() =
        Screen().use { screen ->
            screen.openPicture(File(requireNotNull(System.getProperty("picture"))))
            waitUntil("the mask") { screen.shares().isNotEmpty() }
            // Times of a JVM on some desktop are no phone's: not shown.
            for (id in listOf(R.id.fps, R.id.inference, R.id.timing)) screen.activity.find<TextView>(id).text = "–"
            frames(5)
            val root = screen.activity.window.decorView
            val drawn = Bitmap.createBitmap(root.width, root.height, Bitmap.Config.ARGB_8888)
            root.draw(Canvas(drawn))
            val pixels = IntArray(drawn.width * drawn.height).also {
                drawn.getPixels(it, 0, drawn.width, 0, 0, drawn.width, drawn.height)
            }
            assertTrue("nothing is shown", pixels.distinct().size > 100)
            System.getProperty("screenshot")?.let { path ->
                File(path).outputStream().use { drawn.compress(Bitmap.CompressFormat.PNG, 100, it) }
            }
            Unit
        }
}
