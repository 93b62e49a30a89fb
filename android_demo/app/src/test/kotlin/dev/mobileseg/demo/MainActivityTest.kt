package dev.mobileseg.demo

import android.Manifest
import android.content.pm.PackageManager
import android.graphics.SurfaceTexture
import android.view.TextureView
import android.view.View
import android.widget.Button
import dev.mobileseg.core.Delegate
import dev.mobileseg.core.Golden
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import java.io.File

@RunWith(RobolectricTestRunner::class)
class MainActivityTest {
    private val case = Golden.cases.first { it.name == "street_int8_logits_uint8_0" }
    private val application get() = RuntimeEnvironment.getApplication()

    @Test
    fun `it starts with an integer model and all it says of itself`() =
        Screen().use { screen ->
            assertEquals("", screen.text(R.id.error))
            assertEquals("", screen.text(R.id.notice))
            assertTrue(screen.text(R.id.facts), screen.text(R.id.facts).startsWith("int8\ninput"))
            assertTrue(screen.legend.size > 2)
            assertEquals(Delegate.XNNPACK.ordinal, screen.delegates.selectedItemPosition)
            assertTrue(screen.models.count > 10)
        }

    @Test
    fun `a picture gets its mask, its shares and its latency`() =
        Screen().use { screen ->
            screen.openPicture(case.png)
            waitUntil("shares") { screen.shares().isNotEmpty() }
            assertEquals(100f, screen.shares().sum(), 1f)
            assertTrue(screen.shares().count { it > 0 } > 2)
            val timing = screen.text(R.id.timing)
            for (row in listOf("camera", "pre", "inference", "post", "draw", "total", "one frame")) {
                assertTrue(
                    timing,
                    row in timing,
                )
            }
            assertTrue(screen.text(R.id.fps).endsWith(" fps"))
        }

    @Test
    fun `measuring takes thirty frames`() =
        Screen().use { screen ->
            screen.click(R.id.measure)
            assertTrue("a model and a picture first" in screen.text(R.id.error))
            screen.openPicture(case.png)
            waitUntil("the mask") { screen.shares().isNotEmpty() }
            screen.click(R.id.measure)
            waitUntil("thirty frames") { "the last 30 frames" in screen.text(R.id.timing) }
            screen.settle()
            assertEquals("", screen.text(R.id.error))
        }

    @Test
    fun `every model that is sound can be chosen, every other is refused, and the app goes on`() =
        Screen().use { screen ->
            val bad = Golden.bad.mapKeys { (file, _) -> "bad · ${file.name}" }
            var sound = ""
            screen.labels.forEachIndexed { at, label ->
                screen.choose(screen.models, at)
                val says = bad.entries.firstOrNull { it.key in label }?.value
                if (says == null) {
                    assertEquals(label, "", screen.text(R.id.error))
                    assertTrue(label, label.startsWith(screen.text(R.id.facts).lineSequence().first()))
                    sound = label
                } else {
                    assertTrue("$label: ${screen.text(R.id.error)}", says in screen.text(R.id.error))
                    assertEquals("the model before is marked", sound, screen.models.selectedItem)
                }
            }
            assertEquals(bad.size, screen.labels.count { "bad · " in it })
        }

    @Test
    fun `a delegate that is not here steps down to the CPU and says why`() =
        Screen().use { screen ->
            for (delegate in listOf(Delegate.GPU, Delegate.NNAPI)) {
                screen.choose(screen.delegates, delegate.ordinal)
                val notice = screen.text(R.id.notice)
                assertTrue(notice, "Running on the CPU instead." in notice && "has no ${delegate.label}" in notice)
                assertEquals(Delegate.XNNPACK.ordinal, screen.delegates.selectedItemPosition)
                assertEquals("", screen.text(R.id.error))
            }
        }

    @Test
    fun `after a crash of the GPU it begins on the CPU and says why`() {
        Choices(application).delegate = Delegate.GPU
        File(application.filesDir, "starting").writeText("gpu")
        Screen().use { screen ->
            assertTrue("ended while GPU was starting" in screen.text(R.id.notice))
            assertEquals(Delegate.XNNPACK.ordinal, screen.delegates.selectedItemPosition)
        }
        assertFalse(File(application.filesDir, "starting").exists())
        assertEquals("it stays there", Delegate.XNNPACK, Choices(application).delegate)
    }

    @Test
    fun `a choice that works is kept`() {
        Screen().use { screen -> screen.choose(screen.delegates, Delegate.NONE.ordinal) }
        Screen().use { screen -> assertEquals(Delegate.NONE.ordinal, screen.delegates.selectedItemPosition) }
    }

    @Test
    fun `a refused camera is said, and nothing else stops`() =
        Screen().use { screen ->
            screen.click(R.id.camera)
            val asked = shadowOf(screen.activity).lastRequestedPermission
            assertEquals(listOf(Manifest.permission.CAMERA), asked.requestedPermissions.toList())
            screen.activity.onRequestPermissionsResult(
                asked.requestCode,
                asked.requestedPermissions,
                intArrayOf(PackageManager.PERMISSION_DENIED),
            )
            assertTrue("the permission was refused" in screen.text(R.id.error))
            screen.openPicture(case.png)
            waitUntil("the mask") { screen.shares().isNotEmpty() }
            assertEquals("", screen.text(R.id.error))
        }

    @Test
    fun `without a camera it says so`() =
        Screen().use { screen ->
            shadowOf(application).grantPermissions(Manifest.permission.CAMERA)
            screen.click(R.id.camera)
            val preview = screen.activity.find<TextureView>(R.id.preview)
            assertEquals(View.VISIBLE, preview.visibility)
            assertEquals("Stop", screen.activity.find<Button>(R.id.camera).text)
            requireNotNull(preview.surfaceTextureListener).onSurfaceTextureAvailable(SurfaceTexture(0), 100, 100)
            assertTrue(screen.text(R.id.error), "no camera that apps may use" in screen.text(R.id.error))
            assertEquals(View.GONE, preview.visibility)
            assertEquals("Camera", screen.activity.find<Button>(R.id.camera).text)
        }

    /** One frame is under way when the second comes: the mask in the end is the second's. */
    @Test
    fun `of two pictures the last one counts`() =
        Screen().use { screen ->
            val other = Golden.cases.first { it.name == "street_int8_logits_uint8_1" }
            screen.openPicture(other.png)
            waitUntil("the other's mask") { screen.shares().isNotEmpty() }
            val others = screen.shares()
            screen.openPicture(case.png)
            screen.openPicture(other.png)
            frames(50)
            waitUntil("the mask of the last") { screen.shares() == others }
        }

    @Test
    fun `what is no picture is said`() =
        Screen().use { screen ->
            screen.openPicture(Golden.bad.keys.first())
            assertTrue("not a picture" in screen.text(R.id.error))
        }

    /** The app as it is installed: here, where TensorFlow Lite's native library for phones cannot be loaded. */
    @Test
    @Config(application = DemoApplication::class)
    fun `a runtime that cannot be loaded is said`() =
        Screen().use { screen ->
            assertTrue(screen.text(R.id.error), "does not run on CPU" in screen.text(R.id.error))
        }
}
