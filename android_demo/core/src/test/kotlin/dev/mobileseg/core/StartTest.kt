package dev.mobileseg.core

import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertSame
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

class StartTest {
    @get:Rule val temporary = TemporaryFolder()

    private val manifest = manifestOf()
    private val opened = mutableListOf<FakeEngine>()
    private val marker by lazy { CrashMarker(temporary.root.resolve("below/marker")) }

    private fun start(
        delegate: Delegate,
        said: Manifest = manifest,
        make: (EngineOptions) -> FakeEngine = { FakeEngine(manifest) },
    ) = Starter({ _, options -> make(options).also(opened::add) }, marker)
        .start(direct(1), said, "m.tflite", EngineOptions(delegate))

    private fun refusing(error: Throwable) = { options: EngineOptions ->
        if (options.delegate.onCpu) FakeEngine(manifest) else throw error
    }

    @Test
    fun `what works is used, without a word`() {
        for (delegate in Delegate.entries) {
            val started = start(delegate)
            assertEquals(delegate to "", started.delegate to started.notice)
            assertNull(marker.found())
        }
    }

    @Test
    fun `a delegate that cannot be made steps down to the CPU and says why`() {
        val errors = listOf(IllegalStateException("no OpenCL here"), UnsatisfiedLinkError("no OpenCL here"))
        for (error in errors) {
            val started = start(Delegate.GPU, make = refusing(error))
            assertEquals(Delegate.XNNPACK, started.delegate)
            assertTrue(
                started.notice,
                "on the CPU instead. m.tflite does not run on GPU: no OpenCL here." in started.notice,
            )
            assertNull(marker.found())
        }
    }

    @Test
    fun `a delegate that fails at its first run steps down, too, and gives its memory back`() {
        val broken = FakeEngine(manifest) { _, _ -> throw IllegalArgumentException("kernel refused\nand more") }
        val started = start(Delegate.NNAPI) { if (it.delegate.onCpu) FakeEngine(manifest) else broken }
        assertTrue(started.notice, "does not run on NNAPI: kernel refused. Choose the CPU." in started.notice)
        assertTrue(broken.closed)
    }

    @Test
    fun `the CPU has nothing to step down to`() {
        val message = messageOf { start(Delegate.XNNPACK) { throw IllegalArgumentException("bad buffer") } }
        assertTrue(message, "m.tflite does not run on CPU (XNNPACK): bad buffer." in message)
    }

    @Test
    fun `a file that is not what its manifest says is refused and closed`() {
        val message = messageOf { start(Delegate.XNNPACK, manifestOf(4 to 4)) }
        assertTrue(message, "its input is uint8 [1, 2, 4, 3] but its manifest says uint8 [1, 4, 4, 3]" in message)
        assertTrue(opened.single().closed)
    }

    @Test
    fun `integers on a GPU get a word`() {
        assertTrue("computes in floats" in start(Delegate.GPU, manifestOf(precision = "int8")).notice)
        assertEquals("", start(Delegate.XNNPACK, manifestOf(precision = "int8")).notice)
    }

    @Test
    fun `what took the process down is told once, at the next start`() {
        var seen: Delegate? = null
        start(Delegate.GPU) { FakeEngine(manifest) { _, _ -> seen = marker.found() } }
        assertSame("the marker lies while the delegate starts", Delegate.GPU, seen)
        marker.set(Delegate.NNAPI) // as a process that ended there leaves it
        val next = Starter({ _, _ -> FakeEngine(manifest) }, marker)
        assertTrue("ended while NNAPI was starting" in next.afterCrash())
        assertEquals("", next.afterCrash())
    }

    @Test
    fun `a garbled marker is one, too`() {
        marker.set(Delegate.GPU)
        temporary.root.resolve("below/marker").writeText("?")
        assertSame(Delegate.GPU, marker.found())
    }

    @Test
    fun `an unknown delegate is named with those that there are`() {
        assertTrue("choose one of xnnpack, gpu, nnapi, none" in messageOf { Delegate.of("tpu") })
    }
}
