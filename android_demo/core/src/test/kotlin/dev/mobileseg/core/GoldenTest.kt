package dev.mobileseg.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

/** Masks that Python computed, computed here: real inference on exported models. */
class GoldenTest {
    @get:Rule val temporary = TemporaryFolder()

    private fun starter() = Starter(::DesktopEngine, CrashMarker(temporary.root.resolve("marker")))

    private fun start(case: GoldenCase): Started {
        val model = map(case.model)
        return starter().start(model, readManifest(model, case.model.name), case.model.name, EngineOptions(threads = 2))
    }

    private fun problemOf(
        case: GoldenCase,
        change: (IntArray) -> Unit = {},
    ): String =
        start(case).pipeline.use { pipeline ->
            pipeline.run { rgba -> case.rgba().also(change).copyInto(rgba) }
            case.problem(pipeline.lastOutput(), pipeline.manifest.output.dtype, pipeline.mask.labels)
        }

    @Test
    fun `masks are those of Python`() {
        assertTrue(Golden.cases.size > 20)
        assertEquals(emptyList<String>(), Golden.cases.map(::problemOf).filter(String::isNotEmpty))
    }

    @Test
    fun `a mistake would be seen`() {
        val swap: (IntArray) -> Unit = { rgba ->
            for (at in rgba.indices) {
                val word = rgba[at]
                rgba[at] = (word and 0xff00ff00.toInt()) or (word and 0xff shl 16) or (word ushr 16 and 0xff)
            }
        }
        assertEquals(emptyList<String>(), Golden.cases.filter { problemOf(it, swap).isEmpty() }.map { it.name })
    }

    @Test
    fun `every stage is timed and every pixel counted`() {
        start(Golden.cases.first()).pipeline.use { pipeline ->
            val times = pipeline.run { rgba ->
                Golden.cases
                    .first()
                    .rgba()
                    .copyInto(rgba)
            }
            assertEquals(setOf(Stage.PRE, Stage.INFERENCE, Stage.POST), times.keys)
            assertTrue(times.values.all { it > 0 })
            assertEquals(1f, pipeline.mask.shares().sum(), 1e-4f)
        }
    }

    @Test
    fun `bad files are refused with a message`() {
        assertTrue(Golden.bad.isNotEmpty())
        for ((file, says) in Golden.bad) {
            val message =
                messageOf {
                    val model = map(file)
                    starter().start(model, readManifest(model, file.name), file.name, EngineOptions())
                }
            assertTrue("${file.name}: $message", says in message)
            assertTrue(message, "Unexpected" !in message)
        }
    }

    @Test
    fun `a damaged model behind a sound manifest is refused`() {
        val file = Golden.cases.first().model
        val bytes = file.readBytes().also { content -> content.fill(0x7f, 8, content.size / 2) }
        val model = direct(bytes.size).put(bytes).apply { clear() }
        val message = messageOf { starter().start(model, readManifest(model, file.name), file.name, EngineOptions()) }
        assertTrue(message, "does not run on CPU" in message || "not a TFLite model" in message)
    }

    @Test
    fun `operations are counted as the runtime counts them`() {
        for (file in Golden.cases.map { it.model }.distinct()) {
            DesktopEngine(map(file), EngineOptions(Delegate.NONE)).use { engine ->
                assertEquals(file.name, Taken(0, countOperations(map(file)), 0), engine.taken)
            }
        }
    }
}
