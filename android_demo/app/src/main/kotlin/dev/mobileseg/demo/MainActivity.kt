package dev.mobileseg.demo

import android.Manifest
import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.Intent
import android.content.pm.PackageManager
import android.os.Bundle
import android.view.View
import android.widget.Button
import android.widget.SeekBar
import dev.mobileseg.core.Delegate
import dev.mobileseg.core.DemoError
import dev.mobileseg.core.ModelEntry
import dev.mobileseg.core.describe
import dev.mobileseg.core.preferred

private const val ASK_CAMERA = 1
private const val CHOOSE_PICTURE = 2
private const val PERCENT = 100f

/** The screen: what is chosen, and who is told. */
class MainActivity : Activity() {
    private lateinit var panel: Panel
    private lateinit var segmenter: Segmenter
    private lateinit var player: Player
    private lateinit var choices: Choices
    private var models = emptyList<ModelEntry>()
    private var opened: Opened? = null
    private var remark = "" // for the first model's notice

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.main)
        val starter = (application as DemoApplication).starter
        panel = Panel(this)
        choices = Choices(this)
        segmenter = Segmenter(ModelLibrary(assets), starter)
        player = Player(find(R.id.aspect), segmenter, panel, ::showPlaying)
        remark = starter.afterCrash()
        if (remark.isNotEmpty()) choices.delegate = Delegate.XNNPACK
        listen()
        panel.markDelegate(choices.delegate)
        attempt { models = ModelLibrary(assets).list() }
        val first = preferred(models)
        panel.showModels(models, models.indexOf(first))
        panel.showTiming(null)
        if (first != null) openModel(first) else panel.showStatus(getString(R.string.no_models))
    }

    override fun onResume() {
        super.onResume()
        player.resume()
    }

    override fun onPause() {
        player.pause()
        super.onPause()
    }

    override fun onDestroy() {
        player.stop()
        segmenter.close()
        super.onDestroy()
    }

    override fun onRequestPermissionsResult(
        requestCode: Int,
        permissions: Array<out String>,
        grantResults: IntArray,
    ) {
        if (requestCode != ASK_CAMERA) return
        if (grantResults.firstOrNull() == PackageManager.PERMISSION_GRANTED) return player.showCamera()
        panel.showError(
            "The camera may not be used: the permission was refused. Allow it in the phone's settings, under Apps, " +
                "or choose a picture.",
        )
    }

    // The result API that replaced it is androidx's.
    @Deprecated("by Android, in favour of androidx")
    override fun onActivityResult(
        requestCode: Int,
        resultCode: Int,
        data: Intent?,
    ) {
        val uri = data?.data?.takeIf { requestCode == CHOOSE_PICTURE && resultCode == RESULT_OK } ?: return
        attempt { player.showPicture(readPicture(contentResolver, uri)) }
    }

    private fun listen() {
        panel.listen(onModel = { openModel(models[it]) }, onOptions = ::changeOptions)
        find<Button>(R.id.camera).setOnClickListener { if (player.isLive) player.freeze() else askCamera() }
        find<Button>(R.id.picture).setOnClickListener { choosePicture() }
        find<Button>(R.id.measure).setOnClickListener { attempt { player.measure() } }
        find<View>(R.id.error).setOnClickListener { panel.showError("") }
        val opacity = find<SeekBar>(R.id.opacity)
        player.opacity = opacity.progress / PERCENT
        opacity.setOnSeekBarChangeListener(OnProgress { player.opacity = it / PERCENT })
    }

    private fun changeOptions() {
        choices.delegate = panel.options.delegate
        opened?.let { openModel(it.entry) }
    }

    /** What goes wrong is shown, and the model before stays in use. */
    private fun openModel(entry: ModelEntry) {
        panel.showError("")
        panel.showNotice("")
        panel.showStatus("opening ${entry.label} …")
        player.hold()
        segmenter.open(entry, panel.options) { result ->
            panel.showStatus("")
            result.onSuccess(::use).onFailure { error ->
                panel.showError(describe(error))
                panel.markModel(models.indexOf(opened?.entry))
                player.use(opened)
            }
        }
    }

    private fun use(next: Opened) {
        opened = next
        panel.showOpened(next)
        panel.showNotice(listOf(remark, next.notice).filter(String::isNotEmpty).joinToString(" "))
        remark = ""
        player.use(next)
    }

    private fun askCamera() {
        panel.showError("")
        if (checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED) {
            player.showCamera()
        } else {
            requestPermissions(arrayOf(Manifest.permission.CAMERA), ASK_CAMERA)
        }
    }

    private fun choosePicture() {
        val choose = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("image/*")
        try {
            startActivityForResult(choose, CHOOSE_PICTURE)
        } catch (
            @Suppress("SwallowedException") error: ActivityNotFoundException, // the message says all of it
        ) {
            panel.showError("This phone has no app to choose pictures with.")
        }
    }

    private fun showPlaying(live: Boolean) {
        find<Button>(R.id.camera).setText(if (live) R.string.stop else R.string.camera)
        find<Button>(R.id.measure).isEnabled = !live
    }

    private fun attempt(action: () -> Unit) {
        panel.showError("")
        try {
            action()
        } catch (error: DemoError) {
            panel.showError(describe(error))
        }
    }
}
